/** What completions are compared with: gateways that keep no accounts. */
import { freePort } from "@/tests/harness/process.ts";

const PACKAGE = "@portkey-ai/gateway";
const VERSION = "1.15.2";
const START_LIMIT_MS = 20_000;
/** The folder of the script that starts TensorZero, where no variable names it. */
const TOOLS = new URL("../../shared/tools", import.meta.url).pathname;

export const GATEWAY = `${PACKAGE} ${VERSION}`;
const TENSORZERO_VERSION = "2026.6.0";
export const TENSORZERO = `TensorZero ${TENSORZERO_VERSION}`;

export interface Peer {
  port: number;
  pid: number;
  /** Where its chat completions are, and the model to name. */
  path: string;
  model: string;
  /** What every request needs beside. */
  headers: Record<string, string>;
  stop(): Promise<void>;
}

/** Installs it with npm, once a machine, and starts it with node. @returns why not. */
export async function startGateway(upstreamUrl: string): Promise<Peer | string> {
  const cache = Deno.env.get("TIMMY_TOOLS_DIR") ?? `${Deno.env.get("HOME")}/.cache/timmy-tools`;
  const dir = `${cache}/portkey-gateway-${VERSION}`;
  await Deno.mkdir(dir, { recursive: true });
  try {
    const { success, stderr } = await new Deno.Command("npm", {
      args: ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", `${PACKAGE}@${VERSION}`],
      cwd: dir,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) return `npm install: ${lastLine(stderr)}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no npm";
    throw error;
  }
  const port = freePort();
  const child = new Deno.Command("node", {
    args: [`node_modules/${PACKAGE}/build/start-server.js`, "--headless", `--port=${port}`],
    cwd: dir,
    env: { NODE_ENV: "production" },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const stop = async () => {
    try {
      child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
    await child.status;
  };
  const from = performance.now();
  while (!(await listens(port))) {
    if (performance.now() - from > START_LIMIT_MS) {
      await stop();
      return `it did not listen within ${START_LIMIT_MS} ms`;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const headers = {
    authorization: "Bearer none",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": upstreamUrl,
  };
  return { port, pid: child.pid, path: "/v1/chat/completions", model: "bench", headers, stop };
}

/** Installs and starts TensorZero's gateway by the script `tensorzero` of `TIMMY_TOOLS_SRC`. @returns why not. */
export async function startTensorZero(dir: string, upstreamUrl: string): Promise<Peer | string> {
  const tool = `${Deno.env.get("TIMMY_TOOLS_SRC") ?? TOOLS}/tensorzero`;
  const run = async (...args: string[]) => {
    const { success, stdout, stderr } = await new Deno.Command(tool, { args, stdin: "null" }).output();
    if (!success) throw new Error(`tensorzero ${args[0]}: ${lastLine(stderr)}`);
    return lastLine(stdout);
  };
  try {
    await run("install");
    const { url, model, pid, version } = JSON.parse(await run("start", dir, upstreamUrl));
    const { port, pathname } = new URL(`${url}/chat/completions`);
    const stop = async () => void await run("stop", dir);
    if (version === TENSORZERO_VERSION) {
      return { port: Number(port), pid, path: pathname, model, headers: {}, stop };
    }
    await stop();
    return `${tool} starts version ${version}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `no ${tool}: TIMMY_TOOLS_SRC names its folder`;
    await run("stop", dir); // a start that failed may have left a process
    return (error as Error).message;
  }
}

const lastLine = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).trim().split("\n").pop() ?? "";

async function listens(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}
