import { GATEWAY, startGateway } from "./gateway.ts";
import { load, requestBytes } from "./http.ts";
import { aim, type Bench, median, number, perSecond } from "./measure.ts";
import { paidToken } from "./paid-token.ts";
import { startBare, startTimmy } from "./program.ts";

const ROUNDS = 3;
const CONNECTIONS = 16;
const LOAD_MS = 2_000;
const WARM_UP_MS = 1_500;
/** Enough for every completion of the run. */
const DEPOSIT_SATS = 100_000_000;

const MESSAGES = [{ role: "user", content: "What is a hold invoice, and who holds what?" }];
const PATH = "/v1/chat/completions";

/** Settings that leave nothing but the paid request: no limits, and the model that is compared. */
export const OPEN_SETTINGS = {
  RATE_LIMIT_PER_MINUTE: "0",
  RATE_LIMIT_CHALLENGES_PER_MINUTE: "0",
  MAX_OPEN_CHALLENGES: "0",
  SESSION_MAX_DEPOSIT_SATS: String(DEPOSIT_SATS),
};

/** Hold, call, settle, answer: over sockets, each server in a process of its own, all in front of the same upstream. */
export const completions: Bench = {
  name: "completions",
  title:
    `paid non-streamed completions a second, ${CONNECTIONS} connections, against ${GATEWAY}, which keeps no accounts`,
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const upstream = await startBare([], "upstream.ts");
    const url = `http://127.0.0.1:${upstream.port}/v1`;
    const settings = { ...OPEN_SETTINGS, CHAT_EVALUATION: "off" };
    const local = { LOCAL_MODEL_BASE_URL: url, CHAT_MODELS: "local/bench" };
    const timmy = await startTimmy(`${dir}/data`, { env: { ...settings, ...local } });
    const simulated = await startTimmy(`${dir}/simulated`, { env: settings });
    const gateway = await startGateway(`${dir}/gateway`, url);
    const compared = typeof gateway === "string" ? null : gateway;
    try {
      const paid = async (port: number, model: string) => ({
        port,
        request: requestBytes(port, {
          method: "POST",
          path: `/api${PATH}`,
          headers: (await paidToken(port, DEPOSIT_SATS)).headers,
          body: { model, messages: MESSAGES },
        }),
      });
      const plain = (port: number, headers: Record<string, string>) => ({
        port,
        request: requestBytes(port, {
          method: "POST",
          path: PATH,
          headers,
          body: { model: "bench", messages: MESSAGES },
        }),
      });
      const targets = [
        await paid(timmy.port, "local/bench"),
        await paid(simulated.port, "claude-sonnet-4-6"),
        plain(upstream.port, {}),
        ...(compared ? [plain(compared.port, compared.headers)] : []),
      ];
      const run = (target: typeof targets[number], ms: number) =>
        load(target.port, target.request, { connections: CONNECTIONS, ms, status: 200 });
      for (const target of targets) await run(target, WARM_UP_MS);
      const rates = targets.map((): number[] => []);
      for (let round = 0; round < ROUNDS; round++) {
        for (const [i, target] of targets.entries()) rates[i]!.push(await run(target, LOAD_MS));
      }
      const [ours = NaN, ofSimulated = NaN, alone = NaN, theirs = NaN] = rates.map(median);
      figure("the upstream alone", perSecond(alone));
      figure("Timmy, simulated model", perSecond(ofSimulated));
      figure("Timmy in front of the upstream, CHAT_EVALUATION=off", perSecond(ours));
      if (typeof gateway === "string") return figure(`${GATEWAY} in front of it`, "not measured", gateway);
      figure(`${GATEWAY} in front of it`, perSecond(theirs));
      figure("ratio", `${number(ours / theirs)} ×`, aim(ours / theirs >= 1.5, "≥ 1.5 ×"));
    } finally {
      await compared?.stop();
      await timmy.stop();
      await simulated.stop();
      await upstream.stop();
    }
  },
};
