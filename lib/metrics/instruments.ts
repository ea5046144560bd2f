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
/** Methods that routes have. All others are counted together: with each, a caller could make a series for every route. */
const METHODS: ReadonlySet<string> = new Set(["GET", "POST"]);
/** Tokens and bytes of one request tell what it cost and how long its text is: without `METRICS_MONEY` they are told in steps. */
const TOKEN_STEP = 10_000;
const BYTE_STEP = 1024 * 1024;

const PAYOUT_OUTCOMES = ["paid", "failed", "unknown", "contradicted"] as const;
export type PayoutOutcome = (typeof PAYOUT_OUTCOMES)[number];

/** States of records whose first one must be seen coming, by record. */
const WATCHED = {
  refund: ["pending", "paying", "paid", "expired"],
  bootstrap: ["awaiting_payment", "provisioning", "ready_unconfirmed", "ready", "failed", "expired"],
} as const;

export interface Metrics {
  registry: Registry;
  /** @param request.route the pattern that was matched, never the path @param request.seconds until the answer's head */
  request(request: { method: string; route: string; status: number; seconds: number }): void;
  challenge(): void;
  tokenCheck(outcome: "accepted" | "refused"): void;
  /** One look at a payout ended so. */
  payout(outcome: PayoutOutcome): void;
  /** The same model, counted. @param names the models that are configured: others are counted as `other` */
  measuredModel(model: Model, names: readonly string[]): Model;
  /** The same wallet, counted. */
  measuredWallet(wallet: Wallet): Wallet;
  /** The same database, timed. */
  measuredEngine(engine: Engine): Engine;
}

/** @param exact whether tokens are told one by one (`METRICS_MONEY`) */
export function createMetrics(clock: Clock, { exact }: { exact: boolean }): Metrics {
  const registry = createRegistry(clock);
  const seconds = (since: number) => (clock.monotonic() - since) / 1_000;
  const requests = registry.counter("timmy_http_requests", "Requests answered, by method, route pattern and status", [
    "method",
    "route",
    "status",
  ]);
  const requestSeconds = registry.histogram(
    "timmy_http_request_seconds",
    "Until the head of the answer, by route pattern",
    CALL_SECONDS,
    ["route"],
  );
  const challenges = registry.counter("timmy_challenges", "Invoices made for callers who had shown no payment");
  const tokens = registry.counter("timmy_token_checks", "Macaroons that were presented, by outcome", ["outcome"]);
  const payouts = registry.counter("timmy_payouts", "Looks at payouts of refunds, by how they ended", ["outcome"], {
    zeros: PAYOUT_OUTCOMES.map((outcome) => ({ outcome })),
  });
  const calls = registry.counter("timmy_model_calls", "Calls of a language model, by model, purpose and outcome", [
    "model",
    "call",
    "outcome",
  ]);
  const callSeconds = registry.histogram("timmy_model_seconds", "Calls of a language model, by model", CALL_SECONDS, [
    "model",
  ]);
  const tokenCount = registry.counter("timmy_model_tokens", "Tokens that models read and wrote", [
    "model",
    "direction",
  ], { step: exact ? 1 : TOKEN_STEP });
  const invoices = registry.counter("timmy_wallet_invoices", "Invoices asked of the wallet, by outcome", ["outcome"], {
    zeros: [{ outcome: "made" }, { outcome: "failed" }],
  });
  const payments = registry.counter("timmy_wallet_payments", "Payments asked of the wallet, by its answer", [
    "outcome",
  ]);
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
    payout: (outcome) => payouts.add({ outcome }),
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

/** What the store counts itself, and whether it answers. @param exact whether bytes are told one by one (`METRICS_MONEY`) */
export function observeStore(
  registry: Registry,
  store: Pick<Store, "stats" | "healthy">,
  { exact }: { exact: boolean },
): void {
  const counts = [
    ["timmy_store_commits", "commits", "Durable commits: one wait for the disk each"],
    ["timmy_store_transactions", "transactions", "Transactions, of which one commit takes many"],
    ["timmy_store_rows_read", "rowsRead", "Rows asked of the database"],
    ["timmy_store_rows_from_cache", "rowsFromCache", "Rows answered from memory"],
    ["timmy_store_rows_written", "rowsWritten", "Rows written"],
    ["timmy_store_written_bytes", "bytesWritten", "Bytes written"],
    ["timmy_store_reruns", "reruns", "Groups that ran again because somebody else had written"],
    ["timmy_store_fences", "fences", "Commits whose outcome had to be found out"],
  ] as const;
  for (const [name, field, help] of counts) {
    const step = field === "bytesWritten" && !exact ? BYTE_STEP : 1;
    registry.counted(name, help, () => store.stats()[field], { step });
  }
  registry.gauge("timmy_store_healthy", "0 while the database does not answer", () => store.healthy() ? 1 : 0);
}

/**
 * States that records came to since the start, as the store's events tell them once they are durable. For payouts, `paid` is a refund
 * that was paid, `failed` one that can be claimed again.
 */
export function observeRecords(metrics: Metrics, store: Pick<Store, "onEvent">): void {
  const zeros = Object.entries(WATCHED).flatMap(([record, states]) => states.map((state) => ({ record, state })));
  const records = metrics.registry.counter(
    "timmy_records",
    "Changes of state since the start, by kind of record and the state it came to",
    ["record", "state"],
    { zeros },
  );
  store.onEvent(({ type, state }) => {
    const record = /^(job|session|refund|bootstrap)_state$/.exec(type)?.[1];
    if (record === undefined || typeof state !== "string") return;
    records.add({ record, state });
    if (record === "refund" && state === "paid") metrics.payout("paid");
    if (record === "refund" && state === "pending") metrics.payout("failed");
  });
}
