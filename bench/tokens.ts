import { systemClock } from "@/lib/clock.ts";
import { verifyToken } from "@/lib/sessions/tokens.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { createWorld } from "@/tests/harness/world.ts";
import { OPEN_SETTINGS } from "./completions.ts";
import { load, requestBytes } from "./http.ts";
import { aim, type Bench, median, number, perSecond } from "./measure.ts";
import { paidToken } from "./paid-token.ts";
import { startTimmy } from "./program.ts";

const ROUNDS = 3;
const CONNECTIONS = 16;
const MANY = 64;
const LOAD_MS = 1_500;
const WARM_UP_MS = 1_000;
const CHECK_MS = 1_000;
const CHAT = "/api/v1/chat/completions";

/** A challenge makes a session, an invoice and two tokens in one commit; a check of a token reads and hashes. */
export const tokens: Bench = {
  name: "tokens",
  title: `402 challenges and checks of a paid token a second, ${CONNECTIONS} connections, limits off`,
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const timmy = await startTimmy(`${dir}/data`, { env: OPEN_SETTINGS });
    let challenges = NaN;
    let withMany = NaN;
    let checks = NaN;
    try {
      const { port } = timmy;
      const { sessionId, headers } = await paidToken(port, 10_000);
      const unpaid = requestBytes(port, {
        method: "POST",
        path: CHAT,
        body: { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] },
      });
      const paid = requestBytes(port, { method: "GET", path: `/api/sessions/${sessionId}/requests?limit=1`, headers });
      const run = (request: Uint8Array, status: number, ms: number, connections = CONNECTIONS) =>
        load(port, request, { connections, ms, status });
      await run(unpaid, 402, WARM_UP_MS);
      await run(paid, 200, WARM_UP_MS);
      const rates: [number[], number[], number[]] = [[], [], []];
      for (let round = 0; round < ROUNDS; round++) {
        rates[0].push(await run(unpaid, 402, LOAD_MS));
        rates[1].push(await run(paid, 200, LOAD_MS));
        rates[2].push(await run(unpaid, 402, LOAD_MS, MANY));
      }
      [challenges, checks, withMany] = [median(rates[0]), median(rates[1]), median(rates[2])];
    } finally {
      await timmy.stop();
    }
    const bare = await checksInProcess(await tempDir());
    figure("402 challenges", perSecond(challenges), aim(challenges >= 700, "≥ 700 /s"));
    figure(`the same, ${MANY} connections`, perSecond(withMany));
    figure(
      "reads that need a paid token, over HTTP",
      perSecond(checks),
      `${number(checks / challenges)} × the challenges`,
    );
    const ratio = bare / challenges;
    figure("checks of a paid token (verifyToken)", perSecond(bare), aim(ratio >= 10, `≥ 10 × the challenges`));
  },
};

/** The check alone: one after another, in this process, on a file. */
async function checksInProcess(path: string): Promise<number> {
  const world = await createWorld({ path });
  const { macaroon } = await paidSession(world, world.call, 500);
  const deps = { ...world.deps, settled: () => Promise.resolve(false) };
  const check = async (ms: number) => {
    let done = 0;
    const from = performance.now();
    for (; performance.now() - from < ms; done++) {
      const verified = await verifyToken(deps, { macaroon, preimage: null }, "chat", systemClock.now());
      if (!verified.ok) throw new Error("a good token was refused");
    }
    return done / (performance.now() - from) * 1_000;
  };
  await check(CHECK_MS / 4);
  const rate = await check(CHECK_MS);
  await world.close();
  return rate;
}
