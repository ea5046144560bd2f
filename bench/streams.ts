import { OPEN_SETTINGS } from "./completions.ts";
import { openStream, requestBytes } from "./http.ts";
import { aim, type Bench, ms, number, percentile } from "./measure.ts";
import { paidToken } from "./paid-token.ts";
import { residentMegabytes, startTimmy } from "./program.ts";
import { type ModelServer, startModelServer } from "./upstream.ts";

const STREAMS = 200;
const WARM_UP = 20;
/** Between a stream's begin and its first frame: nothing else is under way then (ms). */
const PAUSE_MS = 4;
const OPEN = 500;
const SETTLE_MS = 2_000;
const DEPOSIT_SATS = 10_000_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The upstream writes its first frame on command; the reader is this process too, so that both read the same clock. */
export const streams: Bench = {
  name: "streams",
  title: "streamed completions: what the first byte waits for, and what open streams take",
  async run({ figure, tempDir }) {
    const upstream = startModelServer();
    const timmy = await startTimmy(`${await tempDir()}/data`, {
      env: {
        ...OPEN_SETTINGS,
        LOCAL_MODEL_BASE_URL: upstream.url,
        CHAT_MODELS: "local/bench",
        CHAT_EVALUATION: "off",
      },
    });
    try {
      const { headers } = await paidToken(timmy.port, DEPOSIT_SATS);
      const body = { model: "local/bench", stream: true, messages: [{ role: "user", content: "What is it?" }] };
      const request = requestBytes(timmy.port, { method: "POST", path: "/api/v1/chat/completions", headers, body });
      const direct = requestBytes(upstream.port, { method: "POST", path: "/v1/chat/completions", body });
      await waits(upstream, timmy.port, request, WARM_UP);
      const bare = await waits(upstream, upstream.port, direct, STREAMS);
      const through = await waits(upstream, timmy.port, request, STREAMS);
      const [p50, p95, none] = [percentile(through, 0.5), percentile(through, 0.95), percentile(bare, 0.5)];
      figure(`upstream's first byte → ours, p50 of ${STREAMS}`, ms(p50), aim(p50 <= 5, "≤ 5 ms"));
      figure("the same, p95", ms(p95));
      figure("the same without Timmy between, p50", ms(none));
      await memory(upstream, timmy, request, figure);
    } finally {
      await timmy.stop();
      await upstream.stop();
    }
  },
};

/** One stream after another. @returns the milliseconds from the upstream's first frame to the reader's first byte. */
async function waits(upstream: ModelServer, port: number, request: Uint8Array, count: number): Promise<number[]> {
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

async function memory(
  upstream: ModelServer,
  timmy: { port: number; pid: number },
  request: Uint8Array,
  figure: (what: string, value: string, note?: string) => void,
): Promise<void> {
  const before = await residentMegabytes(timmy.pid);
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
  if (before === null || during === null) return figure("resident memory", "not measured", "no /proc");
  figure("resident memory before them", `${number(before)} MB`);
  figure(`resident memory with ${OPEN} open streams`, `${number(during)} MB`, aim(during <= 250, "≤ 250 MB"));
}
