/** Whoever orders a node, and the node itself. */
import assert from "node:assert/strict";
import type { Bootstrap } from "@/lib/bootstrap/bootstrap.machine.ts";
import { bootstrapKey } from "@/lib/bootstrap/bootstrap.rows.ts";
import { newSshKeyPair } from "@/lib/bootstrap/keys/ssh-key-pair.ts";
import { createSimulatedNodes } from "@/lib/cloud/simulated-node.ts";
import type { Resource } from "@/lib/cloud/port.ts";
import type { FakeWorld } from "./fake-world.ts";
import { createSeededRandom } from "./seeded-random.ts";
import type { Answer, World } from "./world.ts";

/** A public key as a payer sends it; its private half was thrown away. */
export const OWN_KEY = newSshKeyPair(new Uint8Array(32).fill(7), "me@laptop").publicKey;

export interface Ordered {
  id: string;
  handle: string;
  path: string;
  invoice: { paymentRequest: string; paymentHash: string; amountSats: number };
}

export async function orderNode(
  fake: Pick<FakeWorld, "call">,
  body: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Ordered> {
  const answer = await fake.call("POST", "/api/bootstrap", body, headers);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const { bootstrapJobId: id, invoice } = answer.body;
  return { id, handle: id.slice(0, 13), path: `/api/bootstrap/${id}`, invoice };
}

/** @returns the preimage: the payer's proof. */
export async function payNode({ world }: Pick<FakeWorld, "world">, { invoice }: Ordered): Promise<string> {
  const paid = await world.wallet.payInvoice(invoice.paymentHash);
  assert.ok(paid.ok, "the payer's payment did not arrive");
  return paid.preimage;
}

/** Its record: asking over HTTP would take the private key. */
export async function recordOf({ store }: World, { handle }: Pick<Ordered, "handle">): Promise<Bootstrap> {
  const record = await store.get<Bootstrap>(bootstrapKey(handle));
  assert.ok(record, "there is no such bootstrap");
  return record;
}

/** Moves time until the record is so. @throws after `limitMs` of the world's time. */
export async function untilNode(
  { world, clock }: Pick<FakeWorld, "world" | "clock">,
  ordered: Pick<Ordered, "handle">,
  is: (bootstrap: Bootstrap) => boolean,
  { limitMs = 3_600_000, stepMs = 250 } = {},
): Promise<Bootstrap> {
  await clock.settle();
  for (let passed = 0;; passed += stepMs) {
    const record = await recordOf(world, ordered);
    if (is(record)) return record;
    assert.ok(
      passed < limitMs,
      `after ${passed} ms it is ${record.state}, ${record.steps.at(-1)?.name}: ${record.errorMessage}`,
    );
    await clock.advance(stepMs);
  }
}

export const inStep = (name: string) => ({ state, steps }: Bootstrap) =>
  state === "provisioning" && steps.at(-1)?.name === name;
export const isReady = ({ state }: Bootstrap) => state === "ready";
/** Everything is destroyed and the money can be claimed. */
export const isOver = ({ state, destroyingSince }: Bootstrap) => state === "failed" && destroyingSince === null;

/** A node that is ready, and its payer's preimage. */
export async function readyNode(fake: FakeWorld, body: Record<string, unknown> = {}) {
  const ordered = await orderNode(fake, body);
  const preimage = await payNode(fake, ordered);
  await untilNode(fake, ordered, isReady);
  return { ...ordered, preimage };
}

/** What the provider has of all nodes. */
export const resourcesOf = ({ world, clock }: Pick<FakeWorld, "world" | "clock">): Promise<Resource[]> =>
  clock.drive(world.cloud.list("timmy"));

/** A report as the node of this bootstrap signs it, at the world's time. @param n which of its keys signs */
export async function sendReport(
  { world, call }: Pick<FakeWorld, "world" | "call">,
  { handle }: Pick<Ordered, "handle">,
  change: { n?: number; at?: number; token?: string | null; signature?: string; body?: (text: string) => string } = {},
): Promise<Answer> {
  const { n = 1, at = world.clock.now() } = change;
  const random = createSeededRandom(n);
  const nodes = createSimulatedNodes(random.bytes(32), random);
  const token = world.deps.recordIds.idOf("first-boot", handle);
  const target = nodes.targetOf(`TIMMY_REPORT_URL='http://x/' TIMMY_REPORT_TOKEN='${token}'`);
  assert.ok(target);
  const { body, signature } = nodes.report({ id: String(n), name: `timmy-${handle}` }, target, at);
  return await call("POST", "/api/bootstrap/first-boot", change.body?.(body) ?? body, {
    ...(change.token !== null && { authorization: `Bearer ${change.token ?? token}` }),
    "x-timmy-signature": change.signature ?? signature,
  });
}
