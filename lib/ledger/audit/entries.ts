/** The first book: every entry is sound, and the accounts are what their entries add up to. */
import { classOf, LIGHTNING, mayBeNegative } from "@/lib/ledger/accounts.ts";
import { type Counters, type Entry, wrongAmount, wrongWay } from "@/lib/ledger/ledger.rules.ts";
import type { AuditSource, Check, Ledger, Reservation, SubsidyEntries } from "./book.ts";

/** In place of a session, where a reservation went from and to more than one. */
const SEVERAL = "several sessions";

const NO_RESERVATION: Reservation = {
  reserved: 0,
  granted: 0,
  charged: 0,
  subsidyUsed: 0,
  released: 0,
  returned: 0,
  session: null,
};

/** Adds entries up. */
class Sums implements Ledger {
  readonly counters = new Map<string, { in: number; out: number }>();
  readonly receipts = new Map<string, number>();
  readonly recovered = new Map<string, number>();
  readonly reservations = new Map<string, Reservation>();
  readonly chatCharges = new Map<string, Entry>();
  readonly subsidies = new Map<string, SubsidyEntries>();
  readonly charges = new Map<string, Entry>();
  readonly credits = new Map<string, Entry>();
  subsidiesHeld = 0;

  countersOf = (account: string) => this.counters.get(account) ?? { in: 0, out: 0 };
  balance = (account: string) => this.countersOf(account).in - this.countersOf(account).out;
  accounts = () => this.counters.keys();

  add(entry: Entry): void {
    const { from, to, sats } = entry;
    this.counters.set(from, { ...this.countersOf(from), out: this.countersOf(from).out + sats });
    this.counters.set(to, { ...this.countersOf(to), in: this.countersOf(to).in + sats });
    this.#byKind(entry);
  }

  /** A kind that is missing here does not compile; one that no program of this version writes is said to be wrong elsewhere. */
  #byKind(entry: Entry): void {
    const { kind, from, to, ref, sats } = entry;
    switch (kind) {
      case "eval-fee":
      case "overpaid":
      case "work-payment":
      case "bootstrap-payment":
      case "session-deposit":
      case "session-topup":
      case "pool-donation":
      case "late-unclaimed":
        this.receipts.set(ref, (this.receipts.get(ref) ?? 0) + sats);
        return;
      case "recovered":
        this.recovered.set(ref, (this.recovered.get(ref) ?? 0) + sats);
        return;
      case "reservation":
        return this.#reservation(to, "reserved", sats, from);
      case "reservation-released":
        return this.#reservation(from, "released", sats, to);
      case "charge":
        this.charges.set(ref, entry);
        return this.#charge(entry);
      case "evaluation-charge":
        return this.#charge(entry);
      case "subsidy":
        this.#subsidy(ref.split(" ")[0] ?? "").given.push(entry);
        this.subsidiesHeld += sats;
        return this.#reservation(to, "granted", sats);
      case "subsidy-used":
        this.#subsidy(ref).used.push(entry);
        this.subsidiesHeld -= sats;
        return this.#reservation(from, "subsidyUsed", sats);
      case "subsidy-returned":
        this.#subsidy(ref).returned.push(entry);
        this.subsidiesHeld -= sats;
        return this.#reservation(from, "returned", sats);
      case "pool-credit":
        this.credits.set(ref, entry);
        return;
      // Accounts and rows are compared by what these leave in them.
      case "bootstrap-fee":
      case "eval-fee-returned":
      case "overpaid-unclaimed":
      case "pool-seed":
      case "refund-owed":
      case "refund-dust":
      case "refund-unclaimed":
      case "payout":
      case "routing-fee":
      case "routing-fee-reserve":
      case "fee-reserve-unused":
      case "demo":
        return;
      default:
        kind satisfies never;
    }
  }

  #charge(entry: Entry): void {
    if (classOf(entry.from) === "session") this.chatCharges.set(entry.ref, entry);
    else this.#reservation(entry.from, "charged", entry.sats);
  }

  #reservation(account: string, part: Exclude<keyof Reservation, "session">, sats: number, session?: string): void {
    const [kind, id = ""] = account.split(":");
    if (kind !== "reserved") return;
    const before = this.reservations.get(id) ?? NO_RESERVATION;
    const known = before.session ?? session ?? null;
    const same = session === undefined || known === session;
    this.reservations.set(id, { ...before, [part]: before[part] + sats, session: same ? known : SEVERAL });
  }

  #subsidy(id: string): SubsidyEntries {
    const entries = this.subsidies.get(id) ?? { given: [], used: [], returned: [] };
    this.subsidies.set(id, entries);
    return entries;
  }
}

/** Reads every entry and every account. @returns the ledger that the other books are compared with. */
export async function auditEntries(source: AuditSource, check: Check): Promise<Ledger> {
  const sums = new Sums();
  let entries = 0;
  let badAmount: string | null = null;
  let badWay: string | null = null;
  for await (const { value } of source.rows<Entry>(["entry"])) {
    entries++;
    const [amount, way] = [wrongAmount(value.sats), wrongWay(value)];
    if (amount !== null) badAmount ??= `entry ${value.id} posts ${value.sats} sats: ${amount}`;
    if (way !== null) badWay ??= `entry ${value.id} of ${value.from}: ${way}`;
    sums.add(value);
  }
  check("entries are whole and positive", badAmount, `${entries} entries`);
  check("every posting goes where its kind goes", badWay, `${entries} entries`);
  await auditAccounts(source, sums, check);
  return sums;
}

async function auditAccounts(source: AuditSource, sums: Sums, check: Check): Promise<void> {
  let total = 0;
  let wrong: string | null = null;
  const seen = new Set<string>();
  for await (const { key, value } of source.rows<Counters>(["account"])) {
    const account = String(key[1]);
    seen.add(account);
    total += value.in - value.out;
    const sum = sums.countersOf(account);
    if (sum.in !== value.in || sum.out !== value.out) {
      wrong ??=
        `account ${account} counts in ${value.in}, out ${value.out}; its entries say in ${sum.in}, out ${sum.out}`;
    }
  }
  let negative: string | null = null;
  for (const account of sums.accounts()) {
    if (!seen.has(account)) wrong ??= `account ${account} has entries and no counters`;
    const sats = sums.balance(account);
    if (sats < 0 && !mayBeNegative(account)) negative ??= `account ${account} holds ${sats} sats`;
  }
  // Of the counters: entries name both their accounts, so that their sum is zero whatever is wrong.
  check("all balances add up to zero", total === 0 ? null : `they add up to ${total}`, `${seen.size} accounts`);
  check("every counter equals its entries", wrong, `${seen.size} accounts`);
  check("no account is overdrawn", negative, "none");
}

/** What the ledger says that the wallet took in and did not pay out (sats). */
export const inWallet = (ledger: Ledger): number => -ledger.balance(LIGHTNING);
