/**
 * One way to meter (docs/decisions/0012-one-meter.md): quote → reserve → run → close, whoever pays and for whatever. A product
 * brings what it would take and how it is done; a payer says how much there is and where the sats go. Everything else, money,
 * free tier, trust and receipts, is here.
 *
 * Everything in this file happens within the caller's transaction, so that a record and its money change together.
 */
import {
  closeSubsidy,
  creditPool,
  decideAndPromise,
  decideAndReserve,
  type FreeTier,
  keepPromise,
  type Recipient,
  takeSubsidy,
} from "@/lib/free-tier/pool.rows.ts";
import { recordTrust } from "@/lib/identity/trust.rows.ts";
import type { Account, RevenueAccount } from "@/lib/ledger/accounts.ts";
import { post, postNew } from "@/lib/ledger/ledger.rows.ts";
import { nonZero, type Posting, subsidyUsed } from "@/lib/ledger/postings.ts";
import type { Tx } from "@/lib/store/store.ts";
import { borneSats, costOf, type CostSheet, costSheetOf, feedsPool, type Outcome, trustOf } from "./close.rules.ts";
import { bearFailure, failuresBorneAgainAt } from "./free-failures.ts";
import { decideReservation, type Quote } from "./quote.rules.ts";

/** What the free tier decided, as a payer is told. */
export interface FreeTierView {
  serve: "free" | "partial" | "gate";
  absorbSats: number;
  chargeSats: number;
}

/** Who pays. Every method is part of the caller's transaction. */
export interface Payer {
  /** Sats that may be set aside now, and the least that any narrowing of a credential leaves of them (Infinity: none). */
  available(tx: Tx): Promise<{ balanceSats: number; allowanceSats: number }>;
  /** Sets sats aside. */
  reserve(tx: Tx, sats: number): Promise<void>;
  /** The postings by which a charge is earned. @param evaluationOnly the request was refused before any work */
  earned(chargeSats: number, evaluationOnly: boolean): Posting[];
}

/** What is metered: the record's own fields, as far as money goes. */
interface Metered extends Recipient {
  quote: Quote;
  /** Client address, under a name that tells nobody the address; null: not known. */
  caller: string | null;
  /** When it began (ms since the epoch). */
  at: number;
  /** Set aside of the payer's, and of the pool's (sats). */
  paidSats: number;
  grantedSats: number;
  /** A subsidy that was advised and is taken once it is known what was used; 0 where it was taken with the payment. */
  adviceSats: number;
}

/** Where a product's sats lie and what they earn. */
export interface Books {
  /**
   * `crash`: what is set aside is written down, and outlives the process as the work does. `process`: it is kept in memory, as
   * long as the process that does the work; one commit at the end writes what came of it.
   */
  survives: "crash" | "process";
  /** Where the pool's sats lie until the request has ended. */
  subsidyAccount: Account;
  revenue: RevenueAccount;
  /** Whether a charge gives the pool its share: what the operator pays himself does not. */
  feedsPool: boolean;
}

interface MeteringTerms {
  freeTier: FreeTier;
  minOutputTokens: number;
  freeFailures: { satsPerHour: number };
}

type Reserved =
  | {
    outcome: "reserved";
    reservedSats: number;
    grantedSats: number;
    adviceSats: number;
    freeTier: FreeTierView | null;
  }
  | { outcome: "short"; balanceSats: number; priceSats: number }
  | { outcome: "capped"; leftSats: number; priceSats: number }
  /** The instance bears no more failures until then (ms since the epoch): it begins nothing it may have to give away. */
  | { outcome: "exhausted"; until: number };

/** The pool first, then the payer. Nothing is written unless it is `reserved`. @param now ms since the epoch */
export async function reserve(
  tx: Tx,
  terms: MeteringTerms,
  payer: Payer,
  about: Recipient | Omit<Recipient, "pubkey"> & { pubkey: null },
  { quote, books, now }: { quote: Quote; books: Books; now: number },
): Promise<Reserved> {
  const until = await failuresBorneAgainAt(tx, terms.freeFailures.satsPerHour, now);
  if (until !== null) return { outcome: "exhausted", until };
  const { grantedSats, adviceSats, freeTier } = await fromPool(tx, terms, about, { quote, books, now });
  if (freeTier?.serve === "free") return { outcome: "reserved", reservedSats: 0, grantedSats, adviceSats, freeTier };
  const { balanceSats, allowanceSats } = await payer.available(tx);
  const { minOutputTokens } = terms;
  const decision = decideReservation({ quote, balanceSats, allowanceSats, minOutputTokens });
  switch (decision.outcome) {
    case "short":
      return { outcome: "short", balanceSats, priceSats: decision.priceSats };
    case "capped":
      return { outcome: "capped", leftSats: allowanceSats, priceSats: decision.priceSats };
    case "reserved":
      await payer.reserve(tx, decision.reservedSats);
      return { ...decision, grantedSats, adviceSats, freeTier };
  }
}

/** What the free tier serves whole is set aside here and now; of help in part it is only advised. */
async function fromPool(
  tx: Tx,
  terms: MeteringTerms,
  about: Omit<Recipient, "pubkey"> & { pubkey: string | null },
  { quote, books, now }: { quote: Quote; books: Books; now: number },
): Promise<{ grantedSats: number; adviceSats: number; freeTier: FreeTierView | null }> {
  const { pubkey } = about;
  if (pubkey === null) return { grantedSats: 0, adviceSats: 0, freeTier: null };
  const estimateSats = quote.sats;
  const decision = books.survives === "process"
    ? await decideAndPromise(tx, terms.freeTier, pubkey, { estimateSats, now })
    : await decideAndReserve(tx, terms.freeTier, { ...about, pubkey }, {
      estimateSats,
      account: books.subsidyAccount,
      now,
    });
  const grantedSats = decision.serve === "free" ? decision.sats : 0;
  const adviceSats = decision.serve === "partial" ? decision.adviceSats : 0;
  const absorbSats = grantedSats + adviceSats;
  return {
    grantedSats,
    adviceSats,
    freeTier: { serve: decision.serve, absorbSats, chargeSats: estimateSats - absorbSats },
  };
}

/**
 * Ends what was metered: charges by economy.md §4a, closes the pool's part, gives the pool its share and the key its trust.
 * What is left over (`refundSats`) stays where it lies: the caller gives it back in the same transaction.
 * @returns the receipt, and what the pool gave in all.
 */
export async function close(
  tx: Tx,
  terms: MeteringTerms,
  payer: Pick<Payer, "earned">,
  metered: Omit<Metered, "pubkey"> & { pubkey: string | null },
  { outcome, books, now }: { outcome: Outcome; books: Books; now: number },
): Promise<{ costSheet: CostSheet; grantedSats: number }> {
  const { id, quote, paidSats, pubkey } = metered;
  const borne = borneSats(quote, outcome);
  const free = await bearFailure(tx, metered, { sats: borne, satsPerHour: terms.freeFailures.satsPerHour, now });
  const cost = costOf(quote, outcome, free);
  const taken = await adviceTaken(tx, terms, metered, { sats: Math.min(cost.sats, paidSats), books, now });
  const grantedSats = metered.grantedSats + taken;
  const { poolCreditPct } = books.feedsPool ? terms.freeTier.config : { poolCreditPct: 0 };
  const costSheet = costSheetOf(outcome, cost, { paidSats, grantedSats, poolCreditPct, btcUsd: quote.btc.usd });
  const { chargeSats, subsidySats } = costSheet;
  const { revenue, subsidyAccount } = books;
  if (books.survives === "process" && metered.grantedSats > 0 && pubkey !== null) {
    const { session, requestHash, at: begunAt, grantedSats: promisedSats } = metered;
    const promise = { promisedSats, usedSats: subsidySats, account: subsidyAccount, begunAt, now };
    await keepPromise(tx, { id, session, pubkey, requestHash }, promise);
  }
  const book = books.survives === "process" ? postNew : post;
  await book(
    tx,
    nonZero([...payer.earned(chargeSats, !feedsPool(outcome)), subsidyUsed(id, subsidyAccount, revenue, subsidySats)]),
    now,
  );
  if (grantedSats > 0) await closeSubsidy(tx, id, subsidySats, now);
  const earnedSats = books.feedsPool && feedsPool(outcome) ? chargeSats : 0;
  await creditPool(tx, terms.freeTier, { id, from: revenue, chargeSats: earnedSats, book, now });
  await recordTrust(tx, pubkey, trustOf(outcome, chargeSats), terms.freeTier.trust, now);
  // What a chat was promised and did not use never left the pool.
  const kept = books.survives === "process" && metered.grantedSats > 0 ? subsidySats : grantedSats;
  return { costSheet, grantedSats: kept };
}

/** An advised subsidy is taken once it is known what was used: `min(actual, advice, pool)` (economy.md §6). */
async function adviceTaken(
  tx: Tx,
  terms: MeteringTerms,
  metered: Omit<Metered, "pubkey"> & { pubkey: string | null },
  { sats, books, now }: { sats: number; books: Books; now: number },
): Promise<number> {
  const { id, session, pubkey, requestHash } = metered;
  const adviceSats = Math.min(metered.adviceSats, sats);
  if (pubkey === null || adviceSats === 0) return 0;
  const recipient = { id, session, pubkey, requestHash };
  return await takeSubsidy(tx, terms.freeTier, recipient, { adviceSats, account: books.subsidyAccount, now });
}
