import assert from "node:assert/strict";
import fc from "fast-check";
import {
  acknowledge,
  deliver,
  erase,
  eraseDueAt,
  fetchAgain,
  type KeyDelivery,
  newDelivery,
} from "./delivery.rules.ts";

const WINDOW = 600_000;
const FIRST = 1_000;
const END = FIRST + WINDOW;
const SEALED = "timmy-sealed-v1:…";

const fresh = newDelivery(SEALED);
const delivered: KeyDelivery = { sealed: SEALED, firstDeliveredAt: FIRST, erasedAt: null };
const gone: KeyDelivery = { sealed: null, firstDeliveredAt: FIRST, erasedAt: 2_000 };
const none = newDelivery(null);

const next = (outcome: { ok: true; next: KeyDelivery } | { ok: false; reason: string }) =>
  outcome.ok ? outcome.next : assert.fail(outcome.reason);
const no = (reason: string) => ({ ok: false, reason });

Deno.test("deliver: the first one gets it, nobody after", () => {
  assert.deepEqual(deliver(fresh, FIRST, WINDOW), { ok: true, sealed: SEALED, next: delivered });
  for (const now of [FIRST, FIRST + 1, END - 1]) assert.deepEqual(deliver(delivered, now, WINDOW), no("delivered"));
  for (const now of [END, END + 1]) assert.deepEqual(deliver(delivered, now, WINDOW), no("gone"));
  assert.deepEqual(deliver(gone, FIRST, WINDOW), no("gone"));
  assert.deepEqual(deliver(none, FIRST, WINDOW), no("none"));
});

Deno.test("fetchAgain: within the window, which no fetch makes longer; a first fetch is the first delivery", () => {
  for (const now of [FIRST - 1, FIRST, END - 1]) {
    assert.deepEqual(fetchAgain(delivered, now, WINDOW), { ok: true, sealed: SEALED, next: delivered });
  }
  assert.deepEqual(fetchAgain(delivered, END, WINDOW), no("gone"));
  assert.deepEqual(fetchAgain(gone, FIRST, WINDOW), no("gone"));
  assert.deepEqual(fetchAgain(none, FIRST, WINDOW), no("none"));
  assert.deepEqual(fetchAgain(fresh, FIRST, WINDOW), deliver(fresh, FIRST, WINDOW));
});

Deno.test("acknowledge: erases what was delivered, keeps what nobody has, and may come twice", () => {
  assert.deepEqual(acknowledge(delivered, 2_000), { ok: true, next: gone });
  assert.deepEqual(acknowledge(gone, 3_000), { ok: true, next: gone });
  assert.deepEqual(acknowledge(delivered, END + 5), { ok: true, next: { ...gone, erasedAt: END + 5 } });
  assert.deepEqual(acknowledge(fresh, FIRST), no("not_delivered"));
  assert.deepEqual(acknowledge(none, FIRST), no("none"));
});

Deno.test("erase: when the window is over, never before, never what nobody has, and may come twice", () => {
  assert.equal(eraseDueAt(delivered, WINDOW), END);
  for (const key of [fresh, gone, none]) assert.equal(eraseDueAt(key, WINDOW), null);
  assert.deepEqual(erase(delivered, END - 1, WINDOW), no("not_due"));
  assert.deepEqual(erase(delivered, END, WINDOW), { ok: true, next: { ...gone, erasedAt: END } });
  assert.deepEqual(erase(gone, END, WINDOW), { ok: true, next: gone });
  assert.deepEqual(erase(fresh, END * 9, WINDOW), no("not_delivered"));
  assert.deepEqual(erase(none, END, WINDOW), no("none"));
});

Deno.test("whatever is called in whatever order: one delivery, no key after the window, an ack or an erasure, none lost unseen", () => {
  const call = fc.record({
    what: fc.constantFrom("deliver", "fetchAgain", "acknowledge", "erase"),
    after: fc.nat(WINDOW / 2),
  });
  fc.assert(fc.property(fc.array(call, { maxLength: 20 }), (calls) => {
    let key = fresh;
    let now = FIRST;
    let deliveries = 0;
    for (const { what, after } of calls) {
      now += after;
      const before = key;
      if (what === "deliver" || what === "fetchAgain") {
        const outcome = what === "deliver" ? deliver(key, now, WINDOW) : fetchAgain(key, now, WINDOW);
        if (!outcome.ok) continue;
        if (what === "deliver" || before.firstDeliveredAt === null) deliveries++;
        key = outcome.next;
        assert.equal(outcome.sealed, SEALED);
        assert.equal(before.erasedAt, null);
        assert.ok(now < key.firstDeliveredAt! + WINDOW);
        assert.equal(key.firstDeliveredAt, before.firstDeliveredAt ?? now);
      } else {
        const outcome = what === "acknowledge" ? acknowledge(key, now) : erase(key, now, WINDOW);
        if (outcome.ok) key = next(outcome);
        assert.equal(key.sealed === null, key.erasedAt !== null);
        if (key.sealed === null) assert.notEqual(key.firstDeliveredAt, null, "nobody ever had it");
      }
    }
    assert.ok(deliveries <= 1);
  }));
});
