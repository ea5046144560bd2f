/** The accounts of the ledger (economy.md §2): the only place that spells one. Pure. */

/** Earned, by what for: evaluations of jobs, their work (and the demo's), what sessions ask, nodes that were handed over. */
export type RevenueAccount = "revenue:eval" | "revenue:work" | "revenue:session" | "revenue:bootstrap";
/** An account that belongs to one record, named by that record's handle or id. */
type JobAccount = `job:${string}`;
type SessionAccount = `session:${string}`;
type ReservedAccount = `reserved:${string}`;
type RefundAccount = `refund:${string}`;
type RecordAccount = JobAccount | SessionAccount | ReservedAccount | RefundAccount;
export type Account = "lightning" | "operator" | "pool" | "fees:routing" | RevenueAccount | RecordAccount;

/** Minus what the wallet took in through this program: −balance is what the wallet owes to the ledger. */
export const LIGHTNING = "lightning";
/** What the operator put in (the pool's seed, the demo's answers). */
export const OPERATOR = "operator";
/** The generosity pool, free to give. */
export const POOL = "pool";
/** Routing fees of payouts, paid by the operator. */
export const ROUTING_FEES = "fees:routing";
export const REVENUE = {
  eval: "revenue:eval",
  work: "revenue:work",
  session: "revenue:session",
  bootstrap: "revenue:bootstrap",
} as const;

/** Paid or granted for a job, or paid for a node (bootstrap), and not yet earned; 0 in every terminal state. */
export const jobAccount = (handle: string): JobAccount => `job:${handle}`;
/** The prepaid balance of a session that can be spent. */
export const sessionAccount = (handle: string): SessionAccount => `session:${handle}`;
/** Set aside for one running request that survives a crash; 0 once the request has ended. */
export const reservedAccount = (requestId: string): ReservedAccount => `reserved:${requestId}`;
/** Owed to a payer, not yet paid out. */
export const refundAccount = (refundId: string): RefundAccount => `refund:${refundId}`;

/** What an account is, without the record it belongs to. */
export type AccountClass = Exclude<Account, RecordAccount> | "job" | "session" | "reserved" | "refund";

const RECORD = /^(job|session|reserved|refund):[0-9a-z-]{1,64}$/;
const SINGLE: ReadonlySet<string> = new Set<Exclude<Account, RecordAccount>>([
  LIGHTNING,
  OPERATOR,
  POOL,
  ROUTING_FEES,
  REVENUE.eval,
  REVENUE.work,
  REVENUE.session,
  REVENUE.bootstrap,
]);
const MAY_BE_NEGATIVE: ReadonlySet<string> = new Set([LIGHTNING, OPERATOR, ROUTING_FEES]);

/** The class of an account, or null for a text that names none. */
export function classOf(account: string): AccountClass | null {
  if (SINGLE.has(account)) return account as Exclude<Account, RecordAccount>;
  return (RECORD.exec(account)?.[1] ?? null) as AccountClass | null;
}

/** Only the wallet's own account, the operator's and the fees may go below zero. */
export const mayBeNegative = (account: string): boolean => MAY_BE_NEGATIVE.has(account);

/** Whether the sats of an account are owed to payers: what the wallet must be able to pay out (economy.md §2, solvency). */
export const isLiability = (account: string): boolean => {
  const found = classOf(account);
  return found === "job" || found === "session" || found === "reserved" || found === "refund";
};
