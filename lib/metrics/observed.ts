/** Figures that are read when somebody asks for them: the books, the queue, the wallet's channel, the process. */
import { type Clock, sleep } from "@/lib/clock.ts";
import { type Account, LIGHTNING, OPERATOR, POOL, REVENUE, ROUTING_FEES } from "@/lib/ledger/accounts.ts";
import { getCounters } from "@/lib/ledger/ledger.rows.ts";
import { balanceOf, type Counters, NO_COUNTERS } from "@/lib/ledger/ledger.rules.ts";
import type { InvoiceWallet } from "@/lib/lightning/port.ts";
import type { Reader } from "@/lib/store/store.ts";
import type { Registry } from "./registry.ts";

/** The accounts that belong to no record. */
const SINGLES: readonly Account[] = [LIGHTNING, OPERATOR, POOL, ROUTING_FEES, ...Object.values(REVENUE)];

interface QueueFigures {
  status(): Promise<{ overdue: number; oldestOverdueMs: number; running: number; setAside: number }>;
}
interface SettlementFigures {
  status(): { pushConnected: boolean; openInvoices: number; setAside: number };
}

export function observeWork(registry: Registry, queue: QueueFigures, settlements: SettlementFigures): void {
  const wait = () => queue.status();
  registry.gauge(
    "timmy_queue_overdue",
    "Tasks whose time has come and that nobody runs",
    async () => (await wait()).overdue,
  );
  registry.gauge(
    "timmy_queue_oldest_overdue_seconds",
    "How long the oldest of them has waited",
    async () => (await wait()).oldestOverdueMs / 1_000,
  );
  registry.gauge("timmy_queue_running", "Tasks that run", async () => (await wait()).running);
  registry.gauge(
    "timmy_queue_set_aside",
    "Tasks that a record nobody can read has stopped",
    async () => (await wait()).setAside + settlements.status().setAside,
  );
  registry.gauge("timmy_open_invoices", "Invoices that wait to be paid", () => settlements.status().openInvoices);
  registry.gauge(
    "timmy_wallet_connected",
    "1 while the wallet's push channel stands",
    () => settlements.status().pushConnected ? 1 : 0,
  );
}

/** Whether the parts that an instance needs answered when they were last used. */
export function observeReadiness(registry: Registry, checks: () => Promise<Record<string, { ok: boolean }>>): void {
  registry.gauge(
    "timmy_ready",
    "1 for each part that is well: store, queue, lightning, model, disk",
    async () => Object.entries(await checks()).map(([part, { ok }]) => ({ labels: { part }, value: ok ? 1 : 0 })),
  );
}

export function observeProcess(
  registry: Registry,
  { clock, version, freeBytes }: { clock: Clock; version: string; freeBytes(): Promise<number | null> },
): void {
  const startedAt = clock.now() / 1_000;
  registry.gauge("timmy_build", "The version that runs", () => [{ labels: { version }, value: 1 }]);
  registry.gauge("process_start_time_seconds", "When it was started (seconds since the epoch)", () => startedAt);
  registry.gauge("process_resident_memory_bytes", "Memory that lies in RAM", () => Deno.memoryUsage().rss);
  registry.gauge("timmy_disk_free_bytes", "Room where the data lies", freeBytes);
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
export function observeMoney(registry: Registry, store: Reader, wallet: Pick<InvoiceWallet, "balanceSats">): void {
  const counters = async (account: Account): Promise<Counters> => await getCounters(store, account) ?? NO_COUNTERS;
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
  registry.gauge("timmy_money_wallet_sats", "The wallet's own balance; none while it does not tell", async () => {
    try {
      return await wallet.balanceSats();
    } catch {
      return null; // that the wallet does not answer is a figure of its own
    }
  });
}
