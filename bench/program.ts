/** The programs that are measured from outside: each a process of its own. */
import { freePort } from "@/tests/harness/process.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const PASSED_ON = ["PATH", "HOME", "DENO_DIR", "DENO_TLS_CA_STORE", "TMPDIR"];
const START_LIMIT_MS = 30_000;

export interface Program {
  port: number;
  /** Of the server itself, not of what started it. */
  pid: number;
  /** From the start to the first 200 of `/api/health`. */
  startedAfterMs: number;
  stop(): Promise<void>;
}

/**
 * `deno task start` with default settings but no limit of requests, no price asked outside, and its log thrown away.
 * @param options.root folder of the checkout. @param options.env further settings. @throws when it does not answer within 30 s.
 */
export async function startTimmy(
  dataDir: string,
  { root = ROOT, env = {} }: { root?: string; env?: Record<string, string> } = {},
): Promise<Program> {
  const port = freePort();
  const from = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "start"],
    cwd: root,
    clearEnv: true,
    env: {
      ...passedOn(),
      DENO: Deno.execPath(),
      PORT: String(port),
      DATA_DIR: dataDir,
      RATE_LIMIT_PER_MINUTE: "0",
      RATE_LIMIT_CHALLENGES_PER_MINUTE: "0",
      MAX_OPEN_CHALLENGES: "0",
      BTC_PRICE_URL: "http://127.0.0.1:9/",
      BTC_PRICE_SECOND_URL: "http://127.0.0.1:9/",
      BTC_PRICE_THIRD_URL: "http://127.0.0.1:9/",
      ...env,
    },
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  while (!(await healthy(port))) {
    if (performance.now() - from > START_LIMIT_MS) {
      child.kill("SIGTERM");
      throw new Error(`the program in ${root} did not answer within ${START_LIMIT_MS} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  const startedAfterMs = performance.now() - from;
  const pid = await lastDescendant(child.pid);
  return {
    port,
    pid,
    startedAfterMs,
    async stop() {
      Deno.kill(pid, "SIGTERM");
      await child.status;
    },
  };
}

/** A script of this folder with these arguments, once it listens. */
export async function startBare(
  args: string[],
  script: "bare-server.ts" | "bare-proxy.ts" | "upstream.ts" = "bare-server.ts",
): Promise<{ port: number; pid: number; stop(): Promise<void> }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "run",
        "--config",
        `${ROOT}dev/deno.json`,
        "--quiet",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        "--allow-env",
        "--allow-read",
        "--allow-write",
      ],
      ...[new URL(script, import.meta.url).pathname, ...args],
    ],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  const { value } = await reader.read();
  const port = Number(value);
  if (!(port > 0)) throw new Error("the bare server did not say where it listens");
  return {
    port,
    pid: child.pid,
    async stop() {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}

const passedOn = (): Record<string, string> =>
  Object.fromEntries(PASSED_ON.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));

async function healthy(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/api/health`);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // not listening yet
  }
}

/** The process at the end of a chain of starters; `pid` itself where the system does not tell. */
async function lastDescendant(pid: number): Promise<number> {
  let last = pid;
  for (;;) {
    const children = await systemFile(`/proc/${last}/task/${last}/children`);
    const [child] = children.trim().split(" ");
    if (!child) return last;
    last = Number(child);
  }
}

/** Memory that lies in RAM (MB, of 1,000,000 bytes), or null where the system does not tell. */
export async function residentMegabytes(pid: number): Promise<number | null> {
  const status = await systemFile(`/proc/${pid}/status`);
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) * 1_024 / 1e6;
}

/** Processor time a process has had so far, of all its threads (ms), or NaN where the system does not tell. */
export const cpuMs = async (pid: number): Promise<number> => cpuMsOf(await systemFile(`/proc/${pid}/stat`));

/** User and system time of a line of /proc/PID/stat, which counts hundredths of a second (proc_pid_stat(5)). */
export function cpuMsOf(stat: string): number {
  // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11] ?? NaN) + Number(fields[12] ?? NaN)) * 10;
}

/** A file below /proc, which Deno itself reads only with every permission there is. Empty where there is none. */
async function systemFile(path: string): Promise<string> {
  try {
    const { stdout } = await new Deno.Command("cat", { args: [path], stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
