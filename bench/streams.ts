import { OPEN_SETTINGS } from "./completions.ts";
import { openStream, requestBytes } from "./http.ts";
import { interleaved, type Target } from "./loaded.ts";
import { aim, type Bench, ms, number, percentile, perSecond } from "./measure.ts";
import { paidToken } from "./paid-token.ts";
import { type Program, residentMegabytes, startTimmy } from "./program.ts";
import { type ModelServer, startModelServer } from "./upstream.ts";

const STREAMS = 200;
const WARM_UP = 20;
/** Between a stream's begin and its first frame: nothing else is under way then (ms). */
const PAUSE_MS = 4;
const IDLE_MS = 5_000;
const OPEN = 500;
const SETTLE_MS = 2_000;
const DEPOSIT_SATS = 10_000_000;
const CONNECTIONS = 16;
const TIMES = { rounds: 5, ms: 800, warmUpMs: 1_500 };
/**
 * V8's `--max-semi-space-size` (MB), the room of new objects, in place of what scripts/permissions.sh sets; null leaves it
 * to V8. Less room means less memory and more collections.
 */
const SEMI_SPACES = [2, 4, null] as const;
const PATH = "/api/v1/chat/completions";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const messages = [{ role: "user", content: "What is it?" }];
const body = { model: "local/bench", stream: true, messages };

/** The upstream writes its first frame on command; the reader is this process too, so that both read the same clock. */
export const streams: Bench = {
  name: "streams",
  title:
    "streamed completions: what the first byte waits for, and what open streams take, by the size of V8's semi-space",
  async run({ figure, tempDir }) {
    const upstream = startModelServer();
    const env = {
      ...OPEN_SETTINGS,
      LOCAL_MODEL_BASE_URL: upstream.url,
      CHAT_MODELS: "local/bench",
      CHAT_EVALUATION: "off",
    };
    const dir = await tempDir();
    const started: Program[] = [];
    try {
      for (const size of SEMI_SPACES) {
        const TIMMY_V8 = size === null ? "" : `--v8-flags=--max-semi-space-size=${size}`;
        started.push(await startTimmy(`${dir}/${size}`, { env: { ...env, TIMMY_V8 } }));
      }
      await pause(IDLE_MS);
      const idle = await Promise.all(started.map(({ pid }) => residentMegabytes(pid)));
      const headers = await Promise.all(started.map(async ({ port }) => (await paidToken(port, DEPOSIT_SATS)).headers));
      const asking = (i: number, body: unknown) =>
        requestBytes(started[i]!.port, { method: "POST", path: PATH, headers: { ...headers[i]! }, body });
      const open: (number | null)[] = [];
      for (const [i, timmy] of started.entries()) open.push(await withOpenStreams(upstream, timmy, asking(i, body)));

      const { port } = started[0]!;
      await firstBytes(upstream, port, asking(0, body), WARM_UP);
      const direct = requestBytes(upstream.port, { method: "POST", path: "/v1/chat/completions", body });
      const bare = await firstBytes(upstream, upstream.port, direct, STREAMS);
      const through = await firstBytes(upstream, port, asking(0, body), STREAMS);
      const [p50, p95, none] = [percentile(through, 0.5), percentile(through, 0.95), percentile(bare, 0.5)];
      figure(`upstream's first byte → ours, p50 of ${STREAMS}`, ms(p50), aim(p50 <= 5, "≤ 5 ms"));
      figure("the same, p95", ms(p95));
      figure("the same without Timmy between, p50", ms(none));

      const loaded = await interleaved(
        started.map(({ port, pid }, i): Target => {
          const request = asking(i, { model: "local/bench", messages });
          return { port, pid, request, connections: CONNECTIONS, status: 200 };
        }),
        TIMES,
      );
      for (const [i, size] of SEMI_SPACES.entries()) {
        const [before, during] = [idle[i] ?? NaN, open[i] ?? NaN];
        const aimed = (value: number, most: number) => aim(value <= most, `≤ ${most} MB`);
        figure(size === null ? "without the flag:" : `--max-semi-space-size=${size}:`, "");
        figure(`  resident memory, ${IDLE_MS / 1_000} s idle`, `${number(before)} MB`, aimed(before, 80));
        figure(`  resident memory with ${OPEN} open streams`, `${number(during)} MB`, aimed(during, 200));
        const { rate, cpu } = loaded[i]!;
        figure(`  paid completions, ${CONNECTIONS} connections`, perSecond(rate), `CPU an answer ${ms(cpu)}`);
      }
    } finally {
      await Promise.all(started.map((timmy) => timmy.stop()));
      await upstream.stop();
    }
  },
};

/** One stream after another. @returns the milliseconds from the upstream's first frame to the reader's first byte. */
async function firstBytes(upstream: ModelServer, port: number, request: Uint8Array, count: number): Promise<number[]> {
  const waited: number[] = [];
  for (let i = 0; i < count; i++) {
    const held = upstream.next();
    const opening = openStream(port, request);
    const stream = await held;
    await pause(PAUSE_MS);
    const from = stream.first();
    const { firstByteAt, close } = await opening;
    waited.push(firstByteAt - from);
    stream.end();
    close();
  }
  return waited;
}

/** @returns resident memory (MB) while many streams have told one frame each and go on. */
async function withOpenStreams(
  upstream: ModelServer,
  timmy: Program,
  request: Uint8Array,
): Promise<number | null> {
  const open = await Promise.all(Array.from({ length: OPEN }, async () => {
    const opening = openStream(timmy.port, request);
    const held = await upstream.next();
    held.first();
    return { held, answer: await opening };
  }));
  await pause(SETTLE_MS);
  const during = await residentMegabytes(timmy.pid);
  for (const { held, answer } of open) {
    held.end();
    answer.close();
  }
  return during;
}
