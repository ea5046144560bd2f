/** What is measured, and by whom: the instance's own parts, seen through their ports. */
import { type Model, ModelError } from "@/lib/ai/port.ts";
import type { Clock } from "@/lib/clock.ts";
import type { Wallet } from "@/lib/lightning/port.ts";
import type { Engine } from "@/lib/store/engine.ts";
import type { Store } from "@/lib/store/store.ts";
import { createRegistry, type Registry } from "./registry.ts";

/** Seconds of an HTTP request or a model call; those of a commit are shorter. */
const CALL_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE"]);

export interface Metrics {
  registry: Registry;
  /** @param request.route the pattern that was matched, never the path @param request.seconds until the answer's head */
  request(request: { method: string; route: string; status: number; seconds: number }): void;
  challenge(): void;
  tokenCheck(outcome: "accepted" | "refused"): void;
  /** The same model, counted. @param names the models that are configured: others are counted as `other` */
  measuredModel(model: Model, names: readonly string[]): Model;
  /** The same wallet, counted. */
  measuredWallet(wallet: Wallet): Wallet;
  /** The same database, timed. */
  measuredEngine(engine: Engine): Engine;
}

export function createMetrics(clock: Clock): Metrics {
  const registry = createRegistry();
  const seconds = (since: number) => (clock.monotonic() - since) / 1_000;
  const requests = registry.counter("timmy_http_requests", "Requests answered, by method, route pattern and status");
  const requestSeconds = registry.histogram(
    "timmy_http_request_seconds",
    "Until the head of the answer, by route pattern",
    CALL_SECONDS,
  );
  const challenges = registry.counter("timmy_challenges", "Invoices made for callers who had shown no payment");
  const tokens = registry.counter("timmy_token_checks", "Macaroons that were presented, by outcome");
  const calls = registry.counter("timmy_model_calls", "Calls of a language model, by model, purpose and outcome");
  const callSeconds = registry.histogram("timmy_model_seconds", "Calls of a language model, by model", CALL_SECONDS);
  const tokenCount = registry.counter("timmy_model_tokens", "Tokens that models read and wrote");
  const invoices = registry.counter("timmy_wallet_invoices", "Invoices asked of the wallet, by outcome");
  const payments = registry.counter("timmy_wallet_payments", "Payments asked of the wallet, by its answer");
  const commitSeconds = registry.histogram(
    "timmy_store_commit_seconds",
    "Durable commits, the wait for the disk included",
    COMMIT_SECONDS,
  );

  return {
    registry,
    request({ method, route, status, seconds }) {
      requests.add({ method: METHODS.has(method) ? method : "other", route, status: String(status) });
      requestSeconds.observe({ route }, seconds);
    },
    challenge: () => challenges.add({}),
    tokenCheck: (outcome) => tokens.add({ outcome }),
    measuredModel(model, names) {
      const known = new Set(names);
      async function measured<T extends { usage: { inputTokens: number; outputTokens: number } }>(
        call: "evaluate" | "work" | "chat",
        name: string,
        ask: () => Promise<T>,
      ): Promise<T> {
        const labels = { model: known.has(name) ? name : "other" };
        const since = clock.monotonic();
        const used = (usage: { inputTokens: number; outputTokens: number } | undefined) => {
          if (!usage) return;
          tokenCount.add({ ...labels, direction: "input" }, usage.inputTokens);
          tokenCount.add({ ...labels, direction: "output" }, usage.outputTokens);
        };
        try {
          const answer = await ask();
          calls.add({ ...labels, call, outcome: "ok" });
          used(answer.usage);
          return answer;
        } catch (error) {
          calls.add({ ...labels, call, outcome: error instanceof ModelError ? error.kind : "defect" });
          if (error instanceof ModelError) used(error.usage);
          throw error;
        } finally {
          callSeconds.observe(labels, seconds(since));
        }
      }
      return {
        name: model.name,
        simulated: model.simulated,
        can: (name, ability) => model.can(name, ability),
        evaluate: (input) => measured("evaluate", input.model, () => model.evaluate(input)),
        work: (input) => measured("work", input.model, () => model.work(input)),
        chat: (input) => measured("chat", input.model, () => model.chat(input)),
      };
    },
    measuredWallet(wallet) {
      return {
        name: wallet.name,
        simulated: wallet.simulated,
        get prefix() {
          return wallet.prefix;
        },
        async createInvoice(input) {
          try {
            const created = await wallet.createInvoice(input);
            invoices.add({ outcome: "made" });
            return created;
          } catch (error) {
            invoices.add({ outcome: "failed" });
            throw error;
          }
        },
        async pay(input) {
          const answer = await wallet.pay(input);
          payments.add({ outcome: answer.state });
          return answer;
        },
        lookupInvoice: (paymentHash) => wallet.lookupInvoice(paymentHash),
        lookupPayment: (paymentHash) => wallet.lookupPayment(paymentHash),
        listPayments: (sinceMs) => wallet.listPayments(sinceMs),
        balanceSats: () => wallet.balanceSats(),
        watch: (onHint, signal, onState) => wallet.watch(onHint, signal, onState),
      };
    },
    measuredEngine(engine) {
      return {
        exclusive: engine.exclusive,
        get: (keys) => engine.get(keys),
        list: (prefix, options) => engine.list(prefix, options),
        async commit(commit) {
          const since = clock.monotonic();
          try {
            return await engine.commit(commit);
          } finally {
            commitSeconds.observe({}, seconds(since));
          }
        },
        onBell: (listener) => engine.onBell(listener),
        close: () => engine.close(),
      };
    },
  };
}

/** What the store counts itself. */
export function observeStore(registry: Registry, store: Pick<Store, "stats">): void {
  const counts = [
    ["commits", "Durable commits: one wait for the disk each"],
    ["transactions", "Transactions, of which one commit takes many"],
    ["rowsRead", "Rows asked of the database"],
    ["rowsFromCache", "Rows answered from memory"],
    ["rowsWritten", "Rows written"],
    ["bytesWritten", "Bytes written"],
    ["reruns", "Groups that ran again because somebody else had written"],
    ["fences", "Commits whose outcome had to be found out"],
  ] as const;
  for (const [name, help] of counts) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    registry.counted(`timmy_store_${snake}`, help, () => store.stats()[name]);
  }
}
