import { systemClock } from "@/lib/clock.ts";
import { verifyToken } from "@/lib/sessions/tokens.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { createWorld } from "@/tests/harness/world.ts";
import { OPEN_SETTINGS } from "./completions.ts";
import { requestBytes } from "./http.ts";
import { interleaved, type Loaded } from "./loaded.ts";
import { aim, type Bench, ms, number, perSecond } from "./measure.ts";
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
    let loaded: Loaded[];
    try {
      const { port, pid } = timmy;
      const { sessionId, headers } = await paidToken(port, 10_000);
      const unpaid = requestBytes(port, {
        method: "POST",
        path: CHAT,
        body: { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] },
      });
      const paid = requestBytes(port, { method: "GET", path: `/api/sessions/${sessionId}/requests?limit=1`, headers });
      loaded = await interleaved([
        { port, pid, request: unpaid, connections: CONNECTIONS, status: 402 },
        { port, pid, request: unpaid, connections: MANY, status: 402 },
        { port, pid, request: paid, connections: CONNECTIONS, status: 200 },
      ], { rounds: ROUNDS, ms: LOAD_MS, warmUpMs: WARM_UP_MS });
    } finally {
      await timmy.stop();
    }
    const bare = await checksInProcess(await tempDir());
    const [few, many, reads] = loaded as [Loaded, Loaded, Loaded];
    for (const [connections, { rate, cpu }] of [[CONNECTIONS, few], [MANY, many]] as const) {
      figure(`402 challenges, ${connections} connections`, perSecond(rate), aim(rate >= 1_000, "≥ 1,000 /s"));
      figure("  CPU a challenge", ms(cpu));
    }
    const times = `${number(reads.rate / few.rate)} × the challenges`;
    figure("reads that need a paid token, over HTTP", perSecond(reads.rate), times);
    const ratio = bare / few.rate;
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
