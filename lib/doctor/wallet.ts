import { z } from "zod";
import { decodeInvoice } from "@/lib/lightning/bolt11.ts";
import { Balance, Created, detailOf, FeeReserve, redact } from "@/lib/lightning/lnbits-answers.ts";
import { ask, type Heard, type Reach } from "./ask.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

export interface LnbitsKeys {
  url: string;
  invoiceKey: string;
  adminKey?: string;
}

/** Findings, and what the answers said about our clock. */
export interface WalletChecked {
  findings: Finding[];
  /** How far our clock is ahead of the server's (ms); null when it did not say. */
  skewMs: number | null;
}

const Rows = z.array(z.object({ payment_hash: z.string() }));
const LOOK = "look at LNBITS_URL: it is the address of the LNbits server, and LNbits must be running";

/**
 * Whether an LNbits server answers, takes the keys, and can pay. Nothing is spent: what is asked for a payment names no invoice,
 * and the one invoice that is made (1 sat, a minute long) is shown to nobody.
 * @param maxFeeSats the routing fee that the operator allows for a refund
 */
export async function checkLnbits(keys: LnbitsKeys, maxFeeSats: number, reach: Reach): Promise<WalletChecked> {
  const lnbits = callsOf(keys, reach);
  const wallet = await lnbits.get(keys.invoiceKey, "/wallet");
  const skewMs = "silent" in wallet ? null : wallet.skewMs;
  const only = (finding: Finding): WalletChecked => ({ findings: [finding], skewMs });
  if ("silent" in wallet) return only(error("wallet", `LNbits does not answer: ${wallet.silent}`, LOOK));
  if (wallet.status >= 300 && wallet.status < 400) {
    return only(error("wallet", "LNbits sends callers elsewhere", `${LOOK}, and finish its first set-up in a browser`));
  }
  if ([401, 403, 404].includes(wallet.status)) {
    const isLnbits = z.object({ detail: z.string() }).safeParse(wallet.body).success;
    if (!isLnbits) return only(error("wallet", `what answers (${wallet.status}) is no LNbits`, LOOK));
    return only(
      error(
        "wallet",
        `LNbits does not know the key in LNBITS_API_KEY (${wallet.status})`,
        "copy the wallet's invoice/read key from its page in LNbits (API docs) into LNBITS_API_KEY",
      ),
    );
  }
  const balance = Balance.safeParse(wallet.body);
  if (wallet.status !== 200 || !balance.success) {
    return only(error("wallet", `what answers (${wallet.status}) does not speak as LNbits does`, LOOK));
  }
  const sats = Math.floor(balance.data.balance / 1_000);
  const findings = [
    sats > 0 ? ok("wallet", `LNbits answers; the wallet holds ${sats} sats`) : warning(
      "wallet",
      "LNbits answers; the wallet holds nothing",
      "nothing yet: payers fill it. Put some sats in for the free tier and for routing fees",
    ),
    ...await checkReceiving(keys, maxFeeSats, lnbits),
  ];
  return { findings, skewMs };
}

type Calls = ReturnType<typeof callsOf>;

function callsOf({ url, invoiceKey, adminKey }: LnbitsKeys, reach: Reach) {
  const headers = (key: string) => ({ "X-Api-Key": key, accept: "application/json" });
  return {
    get: (key: string, path: string) => ask(reach, `${url}/api/v1${path}`, { headers: headers(key) }),
    post: (key: string, body: Record<string, unknown>) =>
      ask(reach, `${url}/api/v1/payments`, {
        method: "POST",
        headers: { ...headers(key), "content-type": "application/json" },
        body: JSON.stringify(body),
      }),
    /** What it said, without keys and addresses. */
    said: (heard: Heard) =>
      "silent" in heard ? heard.silent : `${heard.status}: ${redact(detailOf(heard), [invoiceKey, adminKey])}`,
  };
}

async function checkReceiving(keys: LnbitsKeys, maxFeeSats: number, lnbits: Calls): Promise<Finding[]> {
  const request = { out: false, unit: "sat", amount: 1, memo: "timmyctl doctor", expiry: 60 };
  const made = await lnbits.post(keys.invoiceKey, request);
  const created = "silent" in made ? undefined : Created.safeParse(made.body).data;
  if (!created) {
    return [
      error("wallet", `LNbits makes no invoice (${lnbits.said(made)})`, "look at LNbits' funding source and its log"),
    ];
  }
  return [
    networkOf(created.bolt11),
    ...await checkFee(keys, created.bolt11, maxFeeSats, lnbits),
    await mayPay(lnbits, keys.invoiceKey) === true
      ? warning(
        "wallet",
        "LNBITS_API_KEY is an admin key: it may spend",
        "put the wallet's invoice/read key there, and this one into LNBITS_ADMIN_KEY",
      )
      : ok("wallet", "LNBITS_API_KEY takes money and cannot spend any"),
    await checkPaying(keys, created.payment_hash, lnbits),
  ];
}

function networkOf(paymentRequest: string): Finding {
  try {
    const { prefix } = decodeInvoice(paymentRequest);
    return prefix === "lnbc" ? ok("wallet", "its invoices are real money (lnbc)") : warning(
      "wallet",
      `its invoices are of a test network (${prefix})`,
      "use a wallet of the main network to earn sats",
    );
  } catch {
    return error("wallet", "LNbits made an invoice that is not valid", "update LNbits: 1.6.2 was tried");
  }
}

async function checkFee(keys: LnbitsKeys, invoice: string, maxFeeSats: number, lnbits: Calls): Promise<Finding[]> {
  const heard = await lnbits.get(keys.invoiceKey, `/payments/fee-reserve?${new URLSearchParams({ invoice })}`);
  const reserve = "silent" in heard ? undefined : FeeReserve.safeParse(heard.body).data;
  if (!reserve) return [];
  const sats = Math.ceil(reserve.fee_reserve / 1_000);
  return [
    sats <= maxFeeSats ? ok("wallet", `it sets ${sats} sats aside for the fee of a small payment`) : warning(
      "wallet",
      `LNbits sets ${sats} sats aside for the fee of a payment of 1 sat, more than REFUND_MAX_FEE_SATS (${maxFeeSats})`,
      "lower LNBITS_RESERVE_FEE_MIN in LNbits' own settings, or raise REFUND_MAX_FEE_SATS: else refunds stay unpaid",
    ),
  ];
}

/** Whether this key may spend, asked with a payment of no invoice. Null: nobody knows. */
async function mayPay(lnbits: Calls, key: string): Promise<boolean | null> {
  const heard = await lnbits.post(key, { out: true, bolt11: "" });
  if ("silent" in heard) return null;
  if ([401, 403, 404].includes(heard.status)) return false;
  return [400, 422, 520].includes(heard.status) ? true : null;
}

async function checkPaying(keys: LnbitsKeys, paymentHash: string, lnbits: Calls): Promise<Finding> {
  const { adminKey } = keys;
  const copy = "copy the admin key of the same wallet from its page in LNbits (API docs) into LNBITS_ADMIN_KEY";
  if (adminKey === undefined) {
    return warning("wallet", "without LNBITS_ADMIN_KEY it takes money and cannot give any back", copy);
  }
  const known = await lnbits.get(adminKey, `/payments?${new URLSearchParams({ payment_hash: paymentHash })}`);
  if ("silent" in known || [401, 403, 404].includes(known.status)) {
    return error("wallet", `LNbits does not take LNBITS_ADMIN_KEY (${lnbits.said(known)})`, copy);
  }
  const rows = Rows.safeParse(known.body).data;
  if (rows && !rows.some((row) => row.payment_hash === paymentHash)) {
    return error("wallet", "LNBITS_ADMIN_KEY is of another wallet than LNBITS_API_KEY", copy);
  }
  const pays = await mayPay(lnbits, adminKey);
  if (pays === false) return error("wallet", "LNBITS_ADMIN_KEY may not spend: it is the invoice key", copy);
  if (pays === null) return warning("wallet", "LNbits did not say whether it can pay", "run timmyctl doctor again");
  return ok("wallet", "LNBITS_ADMIN_KEY can pay refunds");
}
