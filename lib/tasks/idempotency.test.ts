import assert from "node:assert/strict";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { createOneAtATime, IDEMPOTENCY_MS, idempotencyScope, recall, remember } from "./idempotency.ts";

const NOW = 1_700_000_000_000;
const CALL = { route: "POST /api/jobs", credential: "198.51.100.1", key: "k1", body: { request: "hello" } };

Deno.test("idempotencyScope: route, credential and key make the name; the body does not", () => {
  const { id, bodyHash } = idempotencyScope(CALL);
  assert.equal(idempotencyScope({ ...CALL }).id, id);
  for (const part of [{ route: "POST /x" }, { credential: "198.51.100.2" }, { key: "k2" }]) {
    assert.notEqual(idempotencyScope({ ...CALL, ...part }).id, id, JSON.stringify(part));
  }
  const other = idempotencyScope({ ...CALL, body: { request: "other" } });
  assert.equal(other.id, id);
  assert.notEqual(other.bodyHash, bodyHash);
});

Deno.test("idempotencyScope: parts cannot be shifted into one another, and nothing of them is readable", () => {
  const one = idempotencyScope({ ...CALL, credential: "a", key: "b,c" });
  const two = idempotencyScope({ ...CALL, credential: "a,b", key: "c" });
  assert.notEqual(one.id, two.id);
  const scope = JSON.stringify(idempotencyScope(CALL));
  for (const part of ["k1", "198.51", "hello"]) assert.ok(!scope.includes(part), part);
});

Deno.test("recall: new, then the record it made, then a conflict for another body; forgotten after 24 hours", async () => {
  const { store } = await createMemoryStore();
  const scope = idempotencyScope(CALL);
  const other = idempotencyScope({ ...CALL, body: {} });
  assert.deepEqual(await recall(store, scope, NOW), { outcome: "new" });
  await store.transact((tx) => remember(tx, scope, "h1", NOW));
  assert.deepEqual(await recall(store, scope, NOW + IDEMPOTENCY_MS - 1), { outcome: "known", ref: "h1" });
  assert.deepEqual(await recall(store, other, NOW), { outcome: "conflict" });
  assert.deepEqual(await recall(store, scope, NOW + IDEMPOTENCY_MS), { outcome: "new" });
  assert.deepEqual(await recall(store, other, NOW + IDEMPOTENCY_MS), { outcome: "new" });
  assert.deepEqual((await store.list(["due", "idempotency-expiry"])).map(({ key }) => key[2]), [NOW + IDEMPOTENCY_MS]);
});

Deno.test("createOneAtATime: calls with one name run one after another, others beside them", async () => {
  const oneAtATime = createOneAtATime();
  const did: string[] = [];
  const gates = new Map<string, () => void>();
  const call = (name: string, what: string) =>
    oneAtATime(name, async () => {
      did.push(`${what} begins`);
      await new Promise<void>((resolve) => gates.set(what, resolve));
      did.push(`${what} ends`);
      return what;
    });
  const turns = async () => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  const [a1, a2, b1] = [call("a", "a1"), call("a", "a2"), call("b", "b1")];
  await turns();
  assert.deepEqual(did, ["a1 begins", "b1 begins"]);
  gates.get("a1")?.();
  await turns();
  assert.deepEqual(did, ["a1 begins", "b1 begins", "a1 ends", "a2 begins"]);
  gates.get("a2")?.();
  gates.get("b1")?.();
  assert.deepEqual(await Promise.all([a1, a2, b1]), ["a1", "a2", "b1"]);
});

Deno.test("createOneAtATime: a call that fails fails alone, the next one tries for itself", async () => {
  const oneAtATime = createOneAtATime();
  const first = oneAtATime("a", () => Promise.reject(new Error("first")));
  const second = oneAtATime("a", () => Promise.resolve(2));
  await assert.rejects(first, /first/);
  assert.equal(await second, 2);
});
