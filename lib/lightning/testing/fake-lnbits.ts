/**
 * A local server that speaks the part of LNbits' API the adapter uses, with the bodies and quirks seen on LNbits 1.6.2
 * (FakeWallet): `internal_` rows, 201 that is not paid, 200 without details for a wrong key, 404 for another wallet's,
 * two equal frames for an internal payment, and faults on demand.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { decodeInvoice, encodeInvoice } from "../bolt11.ts";

interface Row {
  checking_id: string;
  payment_hash: string;
  wallet_id: string;
  amount: number;
  fee: number;
  bolt11: string;
  status: "pending" | "success" | "failed";
  preimage: string | null;
  labels: string[];
  expiresAt: number;
  /** When the row was made (ms since the epoch); default: at its very beginning. */
  time?: number;
}
interface FakeWallet {
  walletId: string;
  adminKey: string;
  invoiceKey: string;
}

export type Call = "create" | "pay" | "lookup" | "list" | "wallet";
/**
 * - `instead`: answers this and does nothing. `after`: does it and answers this instead of the truth.
 * - `cut`: does it and cuts the connection within the answer. `hang`: does it and never answers.
 * - `hang-before`: does nothing and never answers. `hold`: a payment stays pending, as a held one over LND does.
 */
export type ServerFault =
  | { how: "instead" | "after"; status: number; body: unknown; headers?: Record<string, string> }
  | { how: "cut" | "hang" | "hang-before" | "hold" };

export interface FakeLnbits {
  url: string;
  merchant: FakeWallet;
  payer: FakeWallet;
  rows: Row[];
  /** What LNbits would let its node pay in fees. */
  feeReserveMsat: number;
  /** What was asked, in order, but for the reserve. */
  calls: Call[];
  /** The next call of this kind goes wrong. */
  failNext(call: Call, fault: ServerFault): void;
  /** Resolves when the next call of this kind has arrived (and, unless `hang-before`, was done). */
  arrived(call: Call): Promise<void>;
  /** Makes a held payment final. */
  release(paymentHash: string, status: "success" | "failed"): void;
  /** Sends text to the sockets of a key, as anyone may. */
  push(key: string, text: string): void;
  /** Resolves when a socket for this key stands. */
  connected(): Promise<void>;
  closeSockets(): void;
  close(): Promise<void>;
}

export function startFakeLnbits(): FakeLnbits {
  const wallet = (name: string): FakeWallet => ({
    walletId: `${name}-id`,
    adminKey: `${name}-admin-key`,
    invoiceKey: `${name}-invoice-key`,
  });
  const merchant = wallet("merchant");
  const payer = wallet("payer");
  const wallets = [merchant, payer];
  const rows: Row[] = [];
  const faults = new Map<Call, ServerFault[]>();
  const waiting: { call: Call; done: () => void }[] = [];
  const calls: Call[] = [];
  const sockets = new Map<WebSocket, string>();
  let onSocket: (() => void)[] = [];
  const nodeKey = sha256(new TextEncoder().encode("fake lnbits"));
  let counter = 0;
  let end = () => {};
  const ended = new Promise<void>((resolve) => end = resolve);

  const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
    new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
  const refusal = (detail: string, status: string) => json(520, { detail, status });
  const balance = (walletId: string) =>
    rows.filter((row) => row.wallet_id === walletId && row.status !== "failed")
      .filter((row) => row.amount < 0 || row.status === "success")
      .reduce((sum, row) => sum + row.amount - (row.amount < 0 ? Math.abs(row.fee) : 0), 0);
  const shown = ({ expiresAt, time = 0, ...row }: Row) => ({
    ...row,
    time: new Date(time).toISOString(),
    payment_request: row.bolt11,
    expiry: new Date(expiresAt).toISOString(),
    memo: "",
    extra: {},
  });

  function create(owner: FakeWallet, body: Record<string, unknown>): Response {
    const amount = Math.floor(Number(body.amount));
    if (!(amount > 0)) return refusal("Amountless invoices not supported.", "failed");
    if (amount > 10_000_000) {
      return refusal(`Invoice amount ${amount} sats is too high. Max allowed: 10000000 sats.`, "failed");
    }
    const preimage = sha256(new TextEncoder().encode(`preimage ${counter++} of ${rows.length}`));
    const payment_hash = bytesToHex(sha256(preimage));
    const createdAtSeconds = Math.floor(Date.now() / 1000);
    const expirySeconds = Number(body.expiry ?? 3600);
    const bolt11 = encodeInvoice({
      prefix: "lnbc",
      amountMsat: amount * 1000,
      paymentHash: payment_hash,
      paymentSecret: bytesToHex(sha256(preimage.toReversed())),
      memo: String(body.memo),
      createdAtSeconds,
      expirySeconds,
    }, nodeKey);
    const row: Row = {
      checking_id: payment_hash,
      payment_hash,
      wallet_id: owner.walletId,
      amount: amount * 1000,
      fee: 0,
      bolt11,
      status: "pending",
      preimage: bytesToHex(preimage),
      labels: [],
      expiresAt: (createdAtSeconds + expirySeconds) * 1000,
      time: Date.now(),
    };
    rows.push(row);
    return json(201, shown(row));
  }

  function pay(owner: FakeWallet, body: Record<string, unknown>, hold: boolean): Response {
    let invoice;
    try {
      invoice = decodeInvoice(String(body.bolt11));
    } catch {
      return refusal("Bolt11 decoding failed.", "failed");
    }
    if (!invoice.amountMsat) return refusal("Amountless invoices not supported.", "failed");
    const hash = invoice.paymentHash;
    const incoming = rows.find((row) => row.payment_hash === hash && row.amount > 0);
    if (incoming?.status === "success") return refusal("Internal invoice already paid.", "failed");
    if (balance(owner.walletId) < invoice.amountMsat) return refusal("Insufficient balance.", "failed");
    const out: Row = {
      checking_id: hash,
      payment_hash: hash,
      wallet_id: owner.walletId,
      amount: -invoice.amountMsat,
      fee: 0,
      bolt11: String(body.bolt11),
      status: "pending",
      preimage: null,
      labels: [],
      expiresAt: invoice.expiresAt,
      time: Date.now(),
    };
    const old = rows.filter((row) => row.payment_hash === hash).sort((a, b) => a.amount - b.amount)[0];
    if (hold && !old?.amount) {
      rows.push({ ...out, fee: -2000 });
      return json(201, shown({ ...out, fee: -2000 }));
    }
    if (incoming?.status === "pending" && !hold) {
      if (incoming.bolt11 !== body.bolt11) return refusal("Invalid invoice. Bolt11 changed.", "failed");
      const paid: Row = { ...out, checking_id: `internal_${hash}`, status: "success", preimage: incoming.preimage };
      rows.push(paid);
      incoming.status = "success";
      const receiver = wallets.find(({ walletId }) => walletId === incoming.wallet_id);
      notify(owner, paid);
      if (receiver) {
        notify(receiver, incoming);
        notify(receiver, incoming);
      }
      return json(201, shown(paid));
    }
    if (old?.status === "pending") return refusal("Payment is still pending.", "pending");
    if (old?.status === "success") return refusal("Payment already paid.", "success");
    if (old?.status === "failed" && old.amount > 0) return json(201, shown(old));
    if (old) return refusal("Payment is failed node, retrying is not possible.", "failed");
    rows.push({ ...out, status: "failed" });
    return refusal("Payment failed: Only internal invoices can be used!", "failed");
  }

  function lookup(owner: FakeWallet | undefined, hash: string): Response {
    const row = rows.filter((row) => row.payment_hash === hash && (!owner || row.wallet_id === owner.walletId))
      .sort((a, b) => a.amount - b.amount)[0];
    if (!row) return json(404, { detail: "Payment does not exist." });
    if (row.status === "pending" && row.amount > 0 && row.expiresAt <= Date.now()) {
      row.status = "failed";
      row.labels.push("expired");
    }
    const paid = row.status === "success";
    if (!owner) return json(200, { paid, preimage: paid ? row.preimage : null });
    const preimage = paid ? row.preimage : null;
    return json(200, { paid, ...(paid ? {} : { status: row.status }), preimage, details: shown(row) });
  }

  function notify(owner: FakeWallet, row: Row): void {
    const frame = JSON.stringify({ wallet_balance: balance(owner.walletId) / 1000, payment: shown(row) });
    for (const key of [owner.invoiceKey, owner.adminKey]) push(key, frame);
  }
  function push(key: string, text: string): void {
    for (const [socket, of] of sockets) if (of === key && socket.readyState === WebSocket.OPEN) socket.send(text);
  }

  function kindOf(method: string, path: string, body: Record<string, unknown>): Call {
    if (method === "POST") return body.out === true ? "pay" : "create";
    if (path === "/api/v1/wallet") return "wallet";
    return path === "/api/v1/payments" ? "list" : "lookup";
  }

  function perform(call: Call, request: Request, url: URL, body: Record<string, unknown>, hold: boolean): Response {
    const key = request.headers.get("x-api-key");
    const owner = wallets.find((one) => one.adminKey === key || one.invoiceKey === key);
    if (call === "lookup") return lookup(owner, url.pathname.split("/").at(-1) ?? "");
    if (key === null) return json(401, { detail: "No Api Key provided." });
    if (!owner) return json(404, { detail: "Wallet not found." });
    if (call === "create") return create(owner, body);
    if (call === "wallet") return json(200, { name: owner.walletId, balance: balance(owner.walletId) });
    if (call === "list") {
      const own = rows.filter((row) => row.wallet_id === owner.walletId);
      const asked = (name: string) => url.searchParams.get(name);
      const hash = asked("payment_hash");
      if (hash !== null) return json(200, own.filter((row) => row.payment_hash === hash).map(shown));
      if (asked("sortby") !== "time" || asked("direction") !== "desc") return json(400, { detail: "not faked" });
      const offset = Number(asked("offset"));
      const newest = own.toSorted((a, b) => (b.time ?? 0) - (a.time ?? 0));
      return json(200, newest.slice(offset, offset + Math.min(1_000, Number(asked("limit")))).map(shown));
    }
    if (owner.adminKey !== key) return json(403, { detail: "Invoice (or Admin) key required." });
    return pay(owner, body, hold);
  }

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onopen = () => {
        sockets.set(socket, url.pathname.split("/").at(-1) ?? "");
        for (const done of onSocket.splice(0)) done();
      };
      socket.onclose = () => sockets.delete(socket);
      return response;
    }
    if (url.pathname.endsWith("/fee-reserve")) return json(200, { fee_reserve: fake.feeReserveMsat });
    const body = request.method === "POST" ? await request.json() : {};
    const call = kindOf(request.method, url.pathname, body);
    calls.push(call);
    const fault = faults.get(call)?.shift();
    const does = fault?.how !== "instead" && fault?.how !== "hang-before";
    const answer = does ? perform(call, request, url, body, fault?.how === "hold") : null;
    for (const one of waiting.filter((one) => one.call === call)) {
      waiting.splice(waiting.indexOf(one), 1);
      one.done();
    }
    if (fault?.how === "hang" || fault?.how === "hang-before") await ended;
    if (fault?.how === "cut") {
      const half = new TextEncoder().encode('{"payment_hash":');
      const body = new ReadableStream({
        start(stream) {
          stream.enqueue(half);
          stream.close();
        },
      });
      return new Response(body, { status: 201, headers: { "content-length": "1000" } });
    }
    if (fault?.how === "instead" || fault?.how === "after") {
      return typeof fault.body === "string"
        ? new Response(fault.body, { status: fault.status, headers: fault.headers ?? {} })
        : json(fault.status, fault.body, fault.headers);
    }
    return answer ?? json(500, { detail: "Unexpected error! ID: Hnxq" });
  });

  const fake: FakeLnbits = {
    feeReserveMsat: 2_000,
    url: `http://127.0.0.1:${server.addr.port}`,
    merchant,
    payer,
    rows,
    calls,
    failNext: (call, fault) => void faults.set(call, [...(faults.get(call) ?? []), fault]),
    arrived: (call) => new Promise((resolve) => void waiting.push({ call, done: resolve })),
    release(paymentHash, status) {
      for (const row of rows) if (row.payment_hash === paymentHash && row.amount < 0) row.status = status;
    },
    push,
    connected: () => sockets.size > 0 ? Promise.resolve() : new Promise((resolve) => void onSocket.push(resolve)),
    closeSockets() {
      for (const socket of sockets.keys()) socket.close();
    },
    async close() {
      end();
      onSocket = [];
      for (const socket of sockets.keys()) socket.close();
      await server.shutdown();
    },
  };
  return fake;
}
