/** What people paste where a Lightning invoice belongs, told by its looks. */
interface Pasted {
  /** Names it in an error code. */
  kind: "offer" | "lnurl" | "lightning_address" | "bitcoin_address" | "payment_hash";
  /** What it is, and what to send in its place. */
  message: string;
}

const INVOICE = "an invoice (it begins with lnbc, lntb or lnbcrt)";

/** The first that fits is meant; none of them fits a BOLT11 invoice. */
const KINDS: readonly [RegExp, Pasted["kind"], string][] = [
  [
    /^(lno|lnr|lni)1/i,
    "offer",
    `This is a BOLT12 offer, not an invoice, and offers cannot be paid here. In the wallet that made it choose "invoice" (BOLT11) and send ${INVOICE}.`,
  ],
  [
    /^(lnurl1|lnurl[pwc]:|keyauth:|https?:)/i,
    "lnurl",
    `This is an LNURL or a web address, not an invoice. In the wallet that shows it choose "receive" and send ${INVOICE}.`,
  ],
  [
    /^[^\s@]+@[^\s@]+\.[^\s@]+$/,
    "lightning_address",
    `This is a Lightning address, not an invoice. Send it as lightningAddress in place of invoice.`,
  ],
  [
    /^(bitcoin:|(bc|tb|bcrt)1[ac-hj-np-z02-9]{20,}$|[123mn][1-9A-HJ-NP-Za-km-z]{25,34}$)/i,
    "bitcoin_address",
    `This is a bitcoin address, and refunds are paid over Lightning only. In a Lightning wallet choose "receive" and send ${INVOICE}.`,
  ],
  [
    /^[0-9a-f]{64}$/i,
    "payment_hash",
    `This is a payment hash or a preimage, not an invoice: nothing can be paid to it. In a Lightning wallet choose "receive" and send ${INVOICE}.`,
  ],
];

/** @param text without blanks around it and without `lightning:`. @returns null for what has none of the known looks. */
export function whatWasPasted(text: string): Pasted | null {
  const found = KINDS.find(([looks]) => looks.test(text));
  return found ? { kind: found[1], message: found[2] } : null;
}
