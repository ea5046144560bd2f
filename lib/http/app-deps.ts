import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import type { Freeze } from "@/lib/payments/freeze.ts";
import type { Payouts } from "@/lib/payments/payouts.ts";
import type { Settlements } from "@/lib/payments/settlements.ts";
import type { Services } from "@/lib/services.ts";
import type { Chats } from "@/lib/sessions/chats.ts";
import type { UsedSessions } from "@/lib/sessions/open.ts";
import type { SessionRequests } from "@/lib/sessions/requests.ts";
import type { CheckedTokens } from "@/lib/sessions/tokens.ts";
import type { OneAtATime } from "@/lib/tasks/idempotency.ts";
import type { Queue } from "@/lib/tasks/queue.ts";

/** What a handler finds in `c.get("deps")`. */
export interface AppDeps extends Services {
  queue: Queue;
  settlements: Settlements;
  payouts: Payouts;
  freeze: Freeze;
  /** Whether the database was put back from a backup and has not caught up with its wallet: nothing is served until then. */
  recovering(): boolean;
  sessionRequests: SessionRequests;
  chats: Chats;
  /** Handles of sessions whose token was used since the start, also by reads, which write nothing. */
  usedSessions: UsedSessions;
  /** Macaroons that were checked before. */
  checkedTokens: CheckedTokens;
  oneAtATime: OneAtATime;
  version: string;
  /** Of the source; `unknown` outside of a release. */
  commit: string;
  readiness(): Promise<Readiness>;
}

/** What the development routes use: never there in production. */
export interface DevTools {
  /** True where real money or a real model is behind them: then only this machine itself may call. */
  localOnly: boolean;
  /** Pays one of our own invoices, or says why not. One that is paid already counts as paid. */
  pay(invoice: Invoice): Promise<DevPayment>;
  /** An invoice of an imaginary payer (simulated wallet only). */
  payerInvoice?: (amountSats: number) => Promise<{ paymentRequest: string; paymentHash: string }>;
}

type DevPayment =
  | { outcome: "paid"; preimage: string | null }
  | { outcome: "expired" }
  | { outcome: "refused"; reason: string };

export interface Readiness {
  ready: boolean;
  checks: Record<string, { ok: boolean; detail?: string } & Record<string, unknown>>;
}
