/** Figures that are read when somebody asks for them: the books, the queue, the wallet's channel, the process. */
import { type Clock, sleep } from "@/lib/clock.ts";
import { type Account, LIGHTNING, OPERATOR, POOL, REVENUE, ROUTING_FEES } from "@/lib/ledger/accounts.ts";
import { getCountersAtOnce } from "@/lib/ledger/ledger.rows.ts";
import { balanceOf, type Counters, NO_COUNTERS } from "@/lib/ledger/ledger.rules.ts";
import type { InvoiceWallet } from "@/lib/lightning/port.ts";
import type { Store } from "@/lib/store/store.ts";
import { firstDueAt } from "@/lib/tasks/due.ts";
import type { Registry } from "./registry.ts";

/** The accounts that belong to no record. */
const SINGLES: readonly Account[] = [LIGHTNING, OPERATOR, POOL, ROUTING_FEES, ...Object.values(REVENUE)];

/** What a look at the parts of an instance finds (`GET /api/health/ready`). */
type Checks = Readonly<Record<string, { ok: boolean } & Readonly<Record<string, unknown>>>>;

/** Whether the parts that an instance needs are well, and what the same look finds of its background work and its disk. */
export function observeReadiness(registry: Registry, checks: () => Promise<Checks>): void {
  const look = registry.once(checks);
  const figure = (name: string, help: string, part: string, field: string, factor = 1) =>
    registry.gauge(name, help, async () => {
      const value = (await look())[part]?.[field];
      return typeof value === "number" ? value * factor : null;
    });
  registry.gauge(
    "timmy_ready",
    "1 for each part of GET /api/health/ready that is well",
    async () => Object.entries(await look()).map(([part, { ok }]) => ({ labels: { part }, value: ok ? 1 : 0 })),
  );
  figure("timmy_queue_overdue", "Tasks whose time has come and that nobody runs", "queue", "overdue");
  figure(
    "timmy_queue_oldest_overdue_seconds",
    "How long the oldest of them has waited",
    "queue",
    "oldestOverdueMs",
    1 / 1_000,
  );
  figure("timmy_queue_running", "Tasks that run", "queue", "running");
  figure("timmy_queue_set_aside", "Tasks that a record nobody can read has stopped", "queue", "setAside");
  figure("timmy_disk_free_bytes", "Room where the data lies", "disk", "freeBytes");
}

interface SettlementFigures {
  status(): { pushConnected: boolean; openInvoices: number; setAside: number };
}
interface PayoutFigures {
  status(): { underWay: number; oldestMs: number };
}

/** Money on its way in and out, as this process knows it without asking anybody. */
export function observePayments(registry: Registry, settlements: SettlementFigures, payouts: PayoutFigures): void {
  registry.gauge("timmy_open_invoices", "Invoices that wait to be paid", () => settlements.status().openInvoices);
  registry.gauge(
    "timmy_settlements_set_aside",
    "Paid invoices that a record nobody can read has stopped",
    () => settlements.status().setAside,
  );
  registry.gauge(
    "timmy_wallet_connected",
    "1 while the wallet's push channel stands",
    () => settlements.status().pushConnected ? 1 : 0,
  );
  registry.gauge("timmy_payouts_under_way", "Payouts whose outcome is not known", () => payouts.status().underWay);
  registry.gauge(
    "timmy_payout_oldest_seconds",
    "How long ago the oldest of them was claimed; 0 without any",
    () => payouts.status().oldestMs / 1_000,
  );
}

interface OwedFigures {
  store: Pick<Store, "list">;
  clock: Clock;
  /** FREE_FAILURES_SATS_PER_HOUR is used up: until when (ms since the epoch); null: it is not. */
  failuresBorneAgainAt(): Promise<number | null>;
}

/** What waits for a payer, and what the instance bears no more: one row each. */
export function observeOwed(registry: Registry, { store, clock, failuresBorneAgainAt }: OwedFigures): void {
  registry.gauge(
    "timmy_refund_next_expiry_seconds",
    "Until the refund that has waited longest goes to the pool; none without a refund that waits",
    async () => {
      const first = await firstDueAt(store, "refund-expiry");
      return first === null ? null : (first - clock.now()) / 1_000;
    },
  );
  registry.gauge(
    "timmy_free_failures_exhausted",
    "1 while the instance bears no failures at its own cost, as it has had its share for this hour",
    async () => await failuresBorneAgainAt() === null ? 0 : 1,
  );
}

export function observeProcess(registry: Registry, { clock, version }: { clock: Clock; version: string }): void {
  const startedAt = clock.now() / 1_000;
  registry.info("timmy_build", "The version that runs", { version });
  registry.gauge("process_start_time_seconds", "When it was started (seconds since the epoch)", () => startedAt);
  registry.gauge("process_resident_memory_bytes", "Memory that lies in RAM", () => Deno.memoryUsage().rss);
  registry.gauge(
    "timmy_event_loop_delay_seconds",
    "How much later than asked a timer fires, at this moment",
    async () => {
      const since = clock.monotonic();
      await sleep(clock, 1);
      return Math.max(0, (clock.monotonic() - since - 1) / 1_000);
    },
  );
}

/**
 * Sums of the whole ledger, and the wallet's balance (sats). Not for everybody: one who looks often enough sees single payments
 * between two looks, so the operator switches it on where only he can look.
 */
export function observeMoney(
  registry: Registry,
  { store, wallet, borneSats }: {
    store: Pick<Store, "getMany">;
    wallet: Pick<InvoiceWallet, "balanceSats">;
    /** What failures have cost the instance in the last hour (sats). */
    borneSats(): Promise<number>;
  },
): void {
  // One read of all of them: a posting that lands between two reads would look like sats that came from nowhere.
  const look = registry.once(() => getCountersAtOnce(store, SINGLES));
  const counters = async (account: Account): Promise<Counters> => (await look()).get(account) ?? NO_COUNTERS;
  const sats = async (account: Account) => balanceOf(await counters(account));
  registry.counted("timmy_money_received_sats", "What payers paid in", async () => (await counters(LIGHTNING)).out);
  registry.counted(
    "timmy_money_paid_out_sats",
    "Refunds that left, routing fees included",
    async () => (await counters(LIGHTNING)).in,
  );
  registry.counted("timmy_money_earned_sats", "What was earned, by what for", () =>
    Promise.all(
      Object.entries(REVENUE).map(async ([what, account]) => ({
        labels: { for: what },
        value: (await counters(account)).in,
      })),
    ));
  registry.counted(
    "timmy_money_routing_fees_sats",
    "Routing fees that the operator paid",
    async () => (await counters(ROUTING_FEES)).out,
  );
  registry.gauge("timmy_money_pool_sats", "The free tier's sats, owed to nobody", () => sats(POOL));
  // All accounts add up to zero: what lies in the records' own accounts is what the single ones are below it.
  registry.gauge(
    "timmy_money_owed_sats",
    "Balances, reservations, jobs and refunds: owed to payers, or set aside for them",
    async () => {
      const singles = await Promise.all(SINGLES.map(sats));
      return singles.reduce((sum, one) => sum - one, 0);
    },
  );
  registry.gauge("timmy_money_failures_borne_sats", "What failures cost the instance in the last hour", borneSats);
  registry.gauge(
    "timmy_money_wallet_sats",
    "The wallet's own balance; none while it does not tell",
    () => wallet.balanceSats(),
  );
}
