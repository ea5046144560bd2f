import { requestBytes } from "./http.ts";
import { interleaved, type Loaded, type Target } from "./loaded.ts";
import { aim, type Bench, ms, number, perSecond } from "./measure.ts";
import { paidToken } from "./paid-token.ts";
import { GATEWAY, startGateway, startTensorZero, TENSORZERO } from "./peers.ts";
import { startBare, startTimmy } from "./program.ts";
import { DELTAS } from "./upstream.ts";

const CONNECTIONS = 16;
const STREAM_CONNECTIONS = 64;
const TIMES = { rounds: 5, ms: 800, warmUpMs: 2_000 };
/** Enough for every completion of the run. */
const DEPOSIT_SATS = 100_000_000;
const UPSTREAM = "the upstream alone";
const TIMMY = "Timmy: paid, accounts kept, CHAT_EVALUATION=off";
const BARE = "a bare Deno proxy";

const messages = [{ role: "user", content: "What is a hold invoice, and who holds what?" }];

/** Settings that leave nothing but the paid request: no limits, and the model that is compared. */
export const OPEN_SETTINGS = {
  RATE_LIMIT_PER_MINUTE: "0",
  RATE_LIMIT_CHALLENGES_PER_MINUTE: "0",
  MAX_OPEN_CHALLENGES: "0",
  SESSION_MAX_DEPOSIT_SATS: String(DEPOSIT_SATS),
};

/** Where a server takes completions, and what it needs to be told. */
interface Server {
  port: number;
  pid: number;
  path: string;
  model: string;
  headers: Record<string, string>;
  stop(): Promise<void>;
}

/** Reserve, call, charge, answer: over sockets, each server in a process of its own, all in front of the same upstream. */
export const completions: Bench = {
  name: "completions",
  title: `paid completions, ${CONNECTIONS} connections, and streams of ${DELTAS} deltas, ${STREAM_CONNECTIONS} ` +
    "connections, beside proxies that keep no accounts",
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const servers = new Map<string, Server>();
    const add = (name: string, server: Omit<Server, "path" | "model" | "headers"> & Partial<Server> | string) => {
      if (typeof server === "string") return figure(name, "not measured", server);
      servers.set(name, { path: "/v1/chat/completions", model: "bench", headers: {}, ...server });
    };
    try {
      const upstream = await startBare([], "upstream.ts");
      add(UPSTREAM, upstream);
      const url = `http://127.0.0.1:${upstream.port}/v1`;
      const env = { ...OPEN_SETTINGS, CHAT_EVALUATION: "off", LOCAL_MODEL_BASE_URL: url, CHAT_MODELS: "local/bench" };
      const timmy = await startTimmy(`${dir}/data`, { env });
      add(TIMMY, { ...timmy, path: "/api/v1/chat/completions", model: "local/bench" });
      servers.get(TIMMY)!.headers = { ...(await paidToken(timmy.port, DEPOSIT_SATS)).headers };
      add(GATEWAY, await startGateway(url));
      add(TENSORZERO, await startTensorZero(`${dir}/tensorzero`, url));
      add(BARE, await startBare([url], "bare-proxy.ts"));

      const measured = async (names: readonly string[], connections: number, more: { stream?: true }) => {
        const there = names.filter((name) => servers.has(name));
        const loaded = await interleaved(
          there.map((name) => targetOf(servers.get(name)!, connections, more)),
          TIMES,
        );
        return new Map(there.map((name, i) => [name, loaded[i]!]));
      };
      const plain = await measured([UPSTREAM, TIMMY, GATEWAY, TENSORZERO, BARE], CONNECTIONS, {});
      tell(`answers, ${CONNECTIONS} connections`, plain);
      const streamed = await measured([UPSTREAM, TIMMY, TENSORZERO], STREAM_CONNECTIONS, { stream: true });
      tell(`streams of ${DELTAS} deltas, ${STREAM_CONNECTIONS} connections`, streamed);
    } finally {
      await Promise.all([...servers.values()].map((server) => server.stop()));
    }

    function tell(what: string, loaded: ReadonlyMap<string, Loaded>): void {
      figure(`${what}:`, "");
      for (const [name, { rate, cpu }] of loaded) figure(`  ${name}`, perSecond(rate), `CPU an answer ${ms(cpu)}`);
      const ours = loaded.get(TIMMY)!;
      for (const [name, theirs] of loaded) {
        if (name === TIMMY || name === UPSTREAM) continue;
        const ratio = ours.rate / theirs.rate;
        const aimed = name === GATEWAY ? `   ${aim(ratio >= 1.5, "of answers ≥ 1.5 ×")}` : "";
        const cpu = `CPU an answer ${number(ours.cpu / theirs.cpu)} ×`;
        figure(`  Timmy to ${name}`, `${number(ratio)} ×`, cpu + aimed);
      }
    }
  },
};

function targetOf({ port, pid, path, model, headers }: Server, connections: number, more: { stream?: true }): Target {
  const request = requestBytes(port, { method: "POST", path, headers, body: { model, messages, ...more } });
  return { port, pid, request, connections, status: 200 };
}
