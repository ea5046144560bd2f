/** A program and its arguments. */
export type CommandLine = readonly [string, ...string[]];

/** How a server is started, and how its audit is. */
export interface Program {
  serve: CommandLine;
  audit: CommandLine;
  env: Record<string, string>;
  /** Working folder; the server's data lies in `DATA_DIR` as seen from there. */
  cwd: string;
}

/** One life of the server, from its start to its end. */
export interface Life {
  readonly pid: number;
  /** Milliseconds from the start to the first answer; null when the process ended before. */
  up(): Promise<number | null>;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM. @returns the exit code, or null when it had to be killed after `limitMs`. */
  stop(limitMs: number): Promise<number | null>;
  /** The exit code, when it ended by itself. */
  readonly ended: { code: number } | null;
  /** The last that it wrote to standard error, and the lines of its log that say "error". */
  readonly stderr: string;
  readonly errors: readonly string[];
}

const ASK_MS = 10;
const TAIL = 2_000;

/** A port that was free a moment ago. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

const commandOf = ({ env, cwd }: Program, [command, ...args]: CommandLine) =>
  new Deno.Command(command, { args, cwd, env, clearEnv: true, stdin: "null", stdout: "piped", stderr: "piped" });

/** Starts the server. @param alive asks it whether it answers yet. */
export function start(program: Program, alive: () => Promise<boolean>): Life {
  const startedAt = performance.now();
  const child = commandOf(program, program.serve).spawn();
  let gone = false;
  let wanted = false;
  let code = 0;
  let stderr = "";
  const errors: string[] = [];
  const status = child.status.then((status) => {
    gone = true;
    code = status.code;
  });
  const drained = [
    forEachLine(child.stderr, (line) => stderr = (stderr + line + "\n").slice(-TAIL)),
    forEachLine(
      child.stdout,
      (line) => line.startsWith("{") && /"level":"(error|fatal)"/.test(line) && errors.push(line),
    ),
  ];
  const end = async () => void await Promise.all([status, ...drained]);

  return {
    pid: child.pid,
    async up() {
      while (!gone) {
        if (await alive()) return performance.now() - startedAt;
        await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      }
      return null;
    },
    async kill() {
      wanted = true;
      if (!gone) child.kill("SIGKILL");
      await end();
    },
    async stop(limitMs) {
      wanted = true;
      if (!gone) child.kill("SIGTERM");
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        child.kill("SIGKILL");
      }, limitMs);
      await end();
      clearTimeout(timer);
      return late ? null : code;
    },
    get ended() {
      return gone && !wanted ? { code } : null;
    },
    get stderr() {
      return stderr;
    },
    errors,
  };
}

/** Runs the program's audit to its end. */
export async function audit(program: Program): Promise<{ ok: boolean; text: string }> {
  const { code, stdout, stderr } = await commandOf(program, program.audit).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim()).filter(Boolean).join("\n");
  return { ok: code === 0, text };
}

async function forEachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
  if (rest) take(rest);
}
