import assert from "node:assert/strict";
import { createApp } from "@/app.ts";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { decodeInvoice } from "@/lib/lightning/bolt11.ts";
import { parseTrustedProxies } from "@/middlewares/client-address.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { createJob } from "@/tests/harness/payer.ts";

Deno.test("POST /api/dev/stub/pay: pays our invoice and answers with its real preimage, capitals in the hash or not", async () => {
  const fake = await createFakeWorld(1);
  for (const written of [(hash: string) => hash, (hash: string) => hash.toUpperCase()]) {
    const { paymentHash } = (await createJob(fake.call, "hello")).evalInvoice;
    const { status, body } = await fake.call("POST", `/api/dev/stub/pay/${written(paymentHash)}`);
    assert.deepEqual([status, body.ok, body.paymentHash, body.stubMode], [200, true, paymentHash, true]);
    assert.equal(bytesToHex(sha256(hexToBytes(body.preimage))), paymentHash);
  }
  fake.discard();
});

Deno.test("POST /api/dev/stub/pay: what the wallet refuses is said with its reason", async () => {
  const fake = await createFakeWorld(1);
  const { paymentHash } = (await createJob(fake.call, "hello")).evalInvoice;
  fake.walletFaults.settle = { kind: "hold" };
  const { status, body } = await fake.call("POST", `/api/dev/stub/pay/${paymentHash}`);
  assert.deepEqual([status, body.error.code, body.error.details], [503, "payment_refused", { reason: "held" }]);
  fake.discard();
});

Deno.test("POST /api/dev/stub/invoice: an invoice of the payer's for exactly that amount; bad amounts are refused", async () => {
  const fake = await createFakeWorld(1);
  const { status, body } = await fake.call("POST", "/api/dev/stub/invoice", { amountSats: 21 });
  assert.equal(status, 201);
  const invoice = decodeInvoice(body.paymentRequest);
  assert.deepEqual([invoice.amountSats, invoice.paymentHash], [21, body.paymentHash]);
  for (const amountSats of [0, -1, 1.5, "21", null, 100_000_001]) {
    assert.equal((await fake.call("POST", "/api/dev/stub/invoice", { amountSats })).status, 400, String(amountSats));
  }
  fake.discard();
});

Deno.test("development routes: are not there when none are given, as in production", async () => {
  const fake = await createFakeWorld(1);
  const { paymentHash } = (await createJob(fake.call, "hello")).evalInvoice;
  const http = {
    corsOrigins: ["*"],
    trustedProxies: parseTrustedProxies([]),
    rateLimitPerMinute: 0,
    challengesPerMinute: 0,
  };
  const app = createApp(fake.world.deps, http, null);
  for (const path of [`/api/dev/stub/pay/${paymentHash}`, "/api/dev/stub/invoice"]) {
    const response = await app.request(path, { method: "POST" });
    assert.deepEqual([response.status, (await response.json()).error.code], [404, "not_found"]);
  }
  fake.discard();
});
