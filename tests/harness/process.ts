/** The real program as a process of its own, as a person starts it. */
import assert from "node:assert/strict";

export interface RunningProcess {
  url: string;
  pid: number;
  dataDir: string;
  /** Everything it wrote so far. */
  output(): string;
  // The tests read what the wire says, whatever it is.
  // deno-lint-ignore no-explicit-any
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any; headers: Headers }>;
  /** Polls as a client does until `ready` says so. @throws after `ms`. */
  // deno-lint-ignore no-explicit-any
  poll(path: string, ready: (body: any) => boolean, ms?: number): Promise<any>;
  kill(): Promise<void>;
  signal(name: Deno.Signal): void;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number>;
}

/** A port that is free now. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/**
 * Starts the program and waits until it answers. `TIMMY_BINARY` names a compiled one to use instead of the source.
 * @param env settings; PORT and DATA_DIR are chosen when left out. Nothing else of this environment is passed on.
 */
export async function startProcess(env: Record<string, string> = {}): Promise<RunningProcess> {
  const root = new URL("../../", import.meta.url).pathname;
  const binary = Deno.env.get("TIMMY_BINARY");
  const port = env.PORT ?? String(freePort());
  // A compiled program may write below ./data only: it runs in a folder of its own.
  const cwd = env.DATA_DIR?.replace(/\/data$/, "") ?? await Deno.makeTempDir({ prefix: "timmy-" });
  const dataDir = `${cwd}/data`;
  const keep = Object.fromEntries(
    ["PATH", "HOME", "DENO_DIR", "DENO_TLS_CA_STORE", "TMPDIR"].flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const command = binary ?? "sh";
  const child = new Deno.Command(command, {
    args: binary ? [] : [`${root}scripts/start.sh`],
    cwd: binary ? cwd : root,
    clearEnv: true,
    env: {
      ...keep,
      DENO: Deno.execPath(),
      // Prices of tests come from the fallback: nothing outside is asked.
      BTC_PRICE_URL: "http://127.0.0.1:9/",
      BTC_PRICE_SECOND_URL: "http://127.0.0.1:9/",
      BTC_PRICE_THIRD_URL: "http://127.0.0.1:9/",
      RATE_LIMIT_PER_MINUTE: "0",
      ...env,
      PORT: port,
      DATA_DIR: binary ? "./data" : dataDir,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  let output = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)) {
      output += text;
    }
  };
  const reading = Promise.all([read(child.stdout), read(child.stderr)]);
  const ended = child.status.then(async (status) => (await reading, status.code));
  const url = `http://127.0.0.1:${port}`;

  const process: RunningProcess = {
    url,
    pid: child.pid,
    dataDir,
    output: () => output,
    async call(method, path, body) {
      const response = await fetch(url + path, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      const text = await response.text();
      return {
        status: response.status,
        body: response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text,
        headers: response.headers,
      };
    },
    async poll(path, ready, ms = 30_000) {
      const until = performance.now() + ms;
      for (;;) {
        const { body } = await process.call("GET", path);
        if (ready(body)) return body;
        assert.ok(performance.now() < until, `${path} was not as expected within ${ms} ms: ${JSON.stringify(body)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    signal: (name) => child.kill(name),
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    async stop() {
      try {
        child.kill("SIGTERM");
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // it has ended already
      }
      return await ended;
    },
  };

  const until = performance.now() + 30_000;
  for (;;) {
    const up = await fetch(`${url}/api/health`).then(async (r) => (await r.body?.cancel(), r.ok), () => false);
    if (up) return process;
    const code = await Promise.race([ended, new Promise<null>((resolve) => setTimeout(() => resolve(null), 10))]);
    assert.equal(code, null, `the program ended with code ${code}:\n${output}`);
    assert.ok(performance.now() < until, `the program did not answer within 30 s:\n${output}`);
  }
}

/** Runs `journey` with a program that ends well after it, and removes its data. What it said is in the error when something fails. */
export async function thenStops(timmy: RunningProcess, journey: () => Promise<void>): Promise<void> {
  try {
    await journey();
    assert.equal(await timmy.stop(), 0, timmy.output());
  } catch (error) {
    await timmy.kill().catch(() => {}); // it has ended already
    throw new Error(`${(error as Error).message}\n--- the program said:\n${timmy.output().slice(-4_000)}`, {
      cause: error,
    });
  } finally {
    await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
}

/**
 * A test that plays a whole life of the real program, and shows what shorter ones show of its parts: with TIMMY_LONG=1, as in
 * `.ci/run`, since all tests together are to take a few minutes.
 */
export function long(name: string, fn: () => Promise<void>): void {
  const ignore = Deno.env.get("TIMMY_LONG") === undefined;
  Deno.test({ name: ignore ? `${name} (set TIMMY_LONG=1 to run)` : name, fn, ignore });
}
