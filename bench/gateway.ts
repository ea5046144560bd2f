/** What completions are compared with: a gateway that keeps no accounts, from npm, in a folder of its own. */
import { freePort } from "@/tests/harness/process.ts";

const PACKAGE = "@portkey-ai/gateway";
const VERSION = "1.15.2";
const START_LIMIT_MS = 20_000;

export const GATEWAY = `${PACKAGE} ${VERSION}`;

export interface Gateway {
  port: number;
  /** Every request needs these: where it is passed on to. */
  headers: Record<string, string>;
  stop(): Promise<void>;
}

/** Installs it with npm and starts it with node. @returns why not. */
export async function startGateway(dir: string, upstreamUrl: string): Promise<Gateway | string> {
  await Deno.mkdir(dir);
  try {
    const { success, stderr } = await new Deno.Command("npm", {
      args: ["install", "--no-audit", "--no-fund", "--ignore-scripts", `${PACKAGE}@${VERSION}`],
      cwd: dir,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) return `npm install: ${new TextDecoder().decode(stderr).trim().split("\n").pop()}`;
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
  return { port, headers, stop };
}

async function listens(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}
