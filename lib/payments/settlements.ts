import { type Clock, sleep } from "@/lib/clock.ts";
import { type Key, type Store, StoreError, type Tx } from "@/lib/store/store.ts";
import { type InvoiceState, type InvoiceWallet, WalletError } from "@/lib/lightning/port.ts";
import type { Logger } from "@/lib/logger.ts";
import type { LeapGuard } from "@/lib/leap-guard.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import {
  getInvoice,
  type Invoice,
  type InvoicePurpose,
  OPEN_INVOICES,
  settleInvoice,
  stopWatching,
} from "./invoices.rows.ts";

/** What a settlement and an expiry mean to the record the invoice is for; part of the same transaction. */
export interface InvoiceHandler {
  settled(tx: Tx, invoice: Invoice, paidSats: number, now: number): Promise<void>;
  expired(tx: Tx, invoice: Invoice, now: number): Promise<void>;
  /** A day after it expired unpaid nobody asks about it any more: what exists only for it may go. */
  forgotten?(tx: Tx, invoice: Invoice, now: number): Promise<void>;
}

export interface Settlements {
  /** Watches the wallet's push channel and runs the reconciler. */
  start(): void;
  stop(): Promise<void>;
  /**
   * Anybody says that this was paid: the wallet is asked soon, but no more than once a second about one hash and
   * {@link TOLD_PER_SECOND} times in all; the rest waits. A hash that is none of ours is ignored. Never throws.
   */
  hint(paymentHash: string): void;
  /** Asks the wallet about one invoice now and records what it says. @throws {WalletError} when it does not answer. */
  check(paymentHash: string): Promise<InvoiceState["state"]>;
  /** The look at an invoice when it expires. */
  expiryTask: TaskSpec;
  /** `setAside`: open invoices whose payment could not be acted on when it was last tried. */
  status(): { pushConnected: boolean; openInvoices: number; setAside: number; lastWalletError: string | null };
}

interface SettlementsOptions {
  store: Store;
  wallet: InvoiceWallet;
  clock: Clock;
  log: Logger;
  guard: LeapGuard;
  handlers: Readonly<Record<InvoicePurpose, InvoiceHandler>>;
  /** Time between two rounds of the reconciler (ms). */
  reconcileMs?: number;
}

/** How long the reconciler goes on asking about an invoice after it expired: a payment may have been in flight. */
const LATE_MS = 24 * 3_600_000;
/**
 * First and longest wait between two questions about an open invoice (ms). While the push channel stands it is the fast way,
 * and asking is only for what it lost; without it, asking is all there is. Wallets limit how often they may be asked.
 */
const PACE = { pushed: { first: 20_000, longest: 600_000 }, asked: { first: 2_000, longest: 60_000 } } as const;
const ASKS_AT_ONCE = 8;
const ASKS_PER_ROUND = 500;
const PAGE = 500;
/** Hints of the wallet that wait, and of anybody else. */
const HINTS_WAITING = 10_000;
/** Questions to the wallet in any second that come of what anybody says, each about another invoice. */
const TOLD_PER_SECOND = 20;
/** More open invoices than this are not asked about one by one: the push and the look at their expiry must do. */
const MAX_TRACKED = 100_000;
/** Rows are in the order of their expiry, so new ones come last, but for what the clocks' seconds make of it (ms). */
const OVERLAP_MS = 10_000;
const READ_ALL_MS = 300_000;
/** How long one that cannot be acted on waits for its next turn (ms). */
const SET_ASIDE_MS = 600_000;

interface Ask {
  at: number;
  waitMs: number;
  expiresAt: number;
}

/**
 * Notices settled invoices without any client asking: by the wallet's push, and by a reconciler for what the push missed.
 * Whoever notices first records it; the others change nothing.
 */
export function createSettlements(options: SettlementsOptions): Settlements {
  const { store, wallet, clock, log, guard, handlers } = options;
  const reconcileMs = options.reconcileMs ?? 1_000;
  const stopper = new AbortController();
  /** When to ask about an invoice next: memory only, since asking too early or twice does no harm. */
  const asks = new Map<string, Ask>();
  const setAside = new Set<string>();
  /** Expiry of the newest open invoice that was read: earlier ones are known. */
  let readUpTo = 0;
  let readAllAt = 0;
  let started = false;
  /** Hashes to ask about next, each with its question: that of the wallet's own hints has no limit. */
  const hints = new Map<string, (paymentHash: string) => Promise<unknown>>();
  /** Hashes of ours that anybody named when no question was left, oldest first. */
  const waiting = new Set<string>();
  /** When the wallet was asked on anybody's word in the last second (monotonic ms), oldest first. */
  const told = new Map<string, number>();
  let pumping: Promise<void> = Promise.resolve();
  let rounds: Promise<void> = Promise.resolve();
  let watching: Promise<void> = Promise.resolve();
  let pushConnected = false;
  let lastWalletError: string | null = null;

  async function record(paymentHash: string, paidSats: number): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      const result = await settleInvoice(tx, paymentHash, paidSats, now);
      if (result.outcome === "settled") {
        await handlers[result.invoice.purpose].settled(tx, result.invoice, paidSats, now);
      }
    });
  }

  async function ask(paymentHash: string): Promise<InvoiceState> {
    try {
      const state = await wallet.lookupInvoice(paymentHash);
      if (lastWalletError !== null) log.info({ backend: wallet.name }, "the wallet answers again");
      lastWalletError = null;
      return state;
    } catch (error) {
      const reason = (error as Error).message;
      // Said when it begins and when it is over; in between readiness tells.
      if (lastWalletError === null) {
        log.warn({ backend: wallet.name, reason }, "the wallet does not answer; open invoices are asked about again");
      }
      lastWalletError = reason;
      throw error;
    }
  }

  async function check(paymentHash: string): Promise<InvoiceState["state"]> {
    const invoice = await getInvoice(store, paymentHash);
    if (!invoice || invoice.settled) {
      drop(paymentHash);
      return invoice ? "settled" : "unknown";
    }
    const state = await ask(paymentHash);
    if (state.state === "settled") {
      await record(paymentHash, state.paidSats);
      drop(paymentHash);
    }
    return state.state;
  }

  function drop(paymentHash: string): void {
    asks.delete(paymentHash);
    setAside.delete(paymentHash);
  }

  /** One invoice that cannot be acted on, as when a record of it cannot be read: an alarm once, and the others go on. */
  function putAside(hash: string, error: unknown): void {
    if (!setAside.has(hash)) {
      log.error(
        { code: "invoice_set_aside", error },
        "an open invoice could not be acted on: it is set aside and tried again every ten minutes; run the audit",
      );
    }
    setAside.add(hash);
    const now = clock.now();
    asks.set(hash, { waitMs: SET_ASIDE_MS, expiresAt: now + LATE_MS, ...asks.get(hash), at: now + SET_ASIDE_MS });
  }

  function hint(paymentHash: string): void {
    // Half of the places are kept for the wallet's own hints.
    if (hints.size < HINTS_WAITING / 2 && !hints.has(paymentHash)) askNext(paymentHash, checkTold);
  }

  function askNext(paymentHash: string, question: typeof checkTold | typeof check): void {
    if (stopper.signal.aborted || hints.size >= HINTS_WAITING) return; // the reconciler comes by later
    hints.set(paymentHash, question);
    if (hints.size === 1) pumping = pumping.then(pump);
  }

  /** Asks on anybody's word: our own books are looked at first, since only the wallet's answer costs something. */
  async function checkTold(paymentHash: string): Promise<void> {
    const invoice = await getInvoice(store, paymentHash);
    if (!invoice || invoice.settled) return;
    const now = clock.monotonic();
    for (const [hash, at] of told) if (now - at >= 1_000) told.delete(hash);
    if (told.has(paymentHash) || told.size >= TOLD_PER_SECOND) {
      if (waiting.size < HINTS_WAITING) waiting.add(paymentHash);
      return;
    }
    told.set(paymentHash, now);
    await check(paymentHash);
  }

  /** Those that found no question left have their turn, as many as a second has. */
  function tellAgain(): void {
    for (const paymentHash of [...waiting].slice(0, TOLD_PER_SECOND)) {
      waiting.delete(paymentHash);
      hint(paymentHash);
    }
  }

  async function pump(): Promise<void> {
    while (hints.size > 0 && !stopper.signal.aborted) {
      const some = [...hints].slice(0, ASKS_AT_ONCE * 4);
      // Off the list before the question: a hint that comes while it is asked is about what happened since.
      for (const [hash] of some) hints.delete(hash);
      const asked = some.map(([hash, question]) => question(hash).catch((error) => askSoon(hash, error)));
      await Promise.all(asked);
    }
  }

  /** A hint that could not be confirmed: the next round of the reconciler asks. */
  function askSoon(hash: string, error: unknown): void {
    if (!isBackends(error)) return putAside(hash, error);
    if (!(error instanceof WalletError)) log.error({ error }, "a settlement could not be recorded; it is tried again");
    const now = clock.now();
    asks.set(hash, { waitMs: pace().first, expiresAt: now + LATE_MS, ...asks.get(hash), at: now });
  }

  // ---- reconciler ------------------------------------------------------------------------------------------------

  const pace = () => pushConnected ? PACE.pushed : PACE.asked;

  /** Takes up the open invoices that were made since the last round; the first one reads them all. */
  async function readNew(): Promise<void> {
    // Now and then all of them, for those that came with an earlier expiry than the newest known.
    const now = clock.now();
    if (now >= readAllAt) [readUpTo, readAllAt] = [0, now + READ_ALL_MS];
    let after: Key | undefined = readUpTo > 0 ? [...OPEN_INVOICES, readUpTo - OVERLAP_MS] : undefined;
    for (;;) {
      const keys = await store.keys(OPEN_INVOICES, { limit: PAGE, ...(after && { after }) });
      for (const key of keys) {
        const [, expiresAt, hash] = key as [string, number, string];
        if (!asks.has(hash) && asks.size >= MAX_TRACKED) return; // the next look begins here again
        readUpTo = Math.max(readUpTo, expiresAt);
        if (asks.has(hash)) continue;
        // The first round asks at once: what settled while nobody watched must not wait.
        const first = started ? pace().first : 0;
        asks.set(hash, { at: now + first, waitMs: first, expiresAt });
      }
      after = keys[keys.length - 1];
      if (keys.length < PAGE || !after) break;
    }
    started = true;
  }

  async function round(): Promise<void> {
    await readNew();
    const now = clock.now();
    // After a start all are due at once: the newest come first, since most payers pay soon or never.
    const ready = [...asks].filter(([, ask]) => ask.at <= now)
      .sort(([, a], [, b]) => a.at - b.at || b.expiresAt - a.expiresAt)
      .slice(0, ASKS_PER_ROUND);
    for (let at = 0; at < ready.length && !stopper.signal.aborted; at += ASKS_AT_ONCE) {
      const some = ready.slice(at, at + ASKS_AT_ONCE);
      const answers = await Promise.allSettled(some.map(([hash, ask]) => askAgain(hash, ask)));
      const errors = answers.map((answer) => answer.status === "rejected" ? answer.reason : null);
      errors.forEach((error, i) => error && !isBackends(error) && putAside(some[i]![0], error));
      const failed = errors.find(isBackends);
      if (failed instanceof StoreError) throw failed;
      if (failed) return; // no use in asking about the others now
    }
  }

  async function askAgain(hash: string, ask: Ask): Promise<void> {
    const now = clock.now();
    const last = ask.expiresAt + LATE_MS;
    // Should the wallet fail on this one, the others have their turn before it comes again.
    ask.at = now + PACE.asked.first;
    const state = await check(hash);
    setAside.delete(hash);
    // A payment that is held may settle whenever its holder likes: such an invoice is not forgotten. Nor is one on the word
    // of a clock that jumped: what is paid for an invoice that nobody knows goes to the pool.
    if (now > last && state !== "held" && guard.waitMs() === 0) {
      await store.transact((tx) => forget(tx, hash, now));
      drop(hash);
      return;
    }
    // Once it has expired, a late payment gets less likely by the hour, unless it is held: the waits go on doubling.
    const longest = now > ask.expiresAt && state !== "held" ? LATE_MS : pace().longest;
    ask.waitMs = Math.min(longest, Math.max(pace().first, ask.waitMs * 2));
    // The last question is asked when the day is over, not before: a payment of its last hours counts.
    ask.at = Math.min(clock.now() + ask.waitMs, now > last ? Infinity : last + 1);
  }

  async function forget(tx: Tx, hash: string, now: number): Promise<void> {
    const invoice = await getInvoice(tx, hash);
    if (!invoice || invoice.settled) return;
    stopWatching(tx, invoice);
    await handlers[invoice.purpose].forgotten?.(tx, invoice, now);
  }

  async function reconcile(): Promise<void> {
    while (!stopper.signal.aborted) {
      tellAgain();
      await round().catch((error) => log.warn({ error }, "a round of the reconciler failed; the next one repeats it"));
      await sleep(clock, reconcileMs, stopper.signal);
    }
  }

  // ---- expiry ----------------------------------------------------------------------------------------------------

  const expiryTask: TaskSpec = {
    kind: "invoice-expiry",
    concurrency: 16,
    leaseMs: 60_000,
    maxAttempts: Infinity, // an invoice is expired when the wallet says so, not when it does not answer
    maxDelayMs: 60_000,
    async run(lease: Lease) {
      const state = await check(lease.id);
      if (state === "settled") return endTask(lease);
      // A held payment may still settle: look again rather than close the record under it.
      if (state === "held") throw new Error("a payment of this invoice is held");
      const now = clock.now();
      await store.transact(async (tx) => {
        if (!(await holdsLease(tx, lease))) return;
        await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
        const invoice = await getInvoice(tx, lease.id);
        if (invoice && !invoice.settled) await handlers[invoice.purpose].expired(tx, invoice, now);
      });
    },
    giveUp: endTask,
  };

  async function endTask(lease: Lease): Promise<void> {
    await store.transact(async (tx) => {
      if (await holdsLease(tx, lease)) await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
    });
  }

  return {
    start() {
      watching = wallet.watch((hash) => askNext(hash, check), stopper.signal, (connected) => {
        if (connected === pushConnected) return;
        pushConnected = connected;
        // Connected again: ask about all of them once, for what was missed. Cut off: asking is all there is, so be quick.
        const { first } = pace();
        const at = clock.now() + (connected ? 0 : first);
        for (const ask of asks.values()) Object.assign(ask, { at: Math.min(ask.at, at), waitMs: first });
      });
      rounds = reconcile();
    },
    async stop() {
      stopper.abort();
      await Promise.all([pumping, rounds, watching]);
    },
    hint,
    check,
    expiryTask,
    status: () => ({ pushConnected, openInvoices: asks.size, setAside: setAside.size, lastWalletError }),
  };
}

/** Whether wallet or database is to blame: then the other invoices fare no better. */
const isBackends = (error: unknown): boolean =>
  error instanceof WalletError ||
  (error instanceof StoreError && (error.code === "unavailable" || error.code === "unknown"));
