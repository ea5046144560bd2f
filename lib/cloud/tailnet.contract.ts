/** What every private network's adapter must do, run against each of them. */
import assert from "node:assert/strict";
import { cloudError } from "./testing/cloud-harness.ts";
import type { AuthKeyOrder, Tailnet } from "./tailnet.ts";

export interface TailnetHarness {
  tailnet: Tailnet;
  pass(ms: number): Promise<void>;
  /** The next order of a key is carried out but its answer is lost, or it never arrives. */
  spoilNext(how: "lose" | "cut"): void;
  /** From here on a third of all calls goes wrong, until `calm`. */
  storm(seed: number): void;
  calm(): void;
  close(): Promise<void>;
}

export const KEY: AuthKeyOrder = {
  description: "timmy-0123456789abc",
  tags: ["tag:timmy-node"],
  expirySeconds: 3_600,
};

/** Registers the suite. */
export function tailnetContract(name: string, makeHarness: () => TailnetHarness): void {
  const test = (criterion: string, run: (harness: TailnetHarness) => Promise<void>) =>
    Deno.test(`${name}: ${criterion}`, async () => {
      const harness = makeHarness();
      try {
        await run(harness);
      } finally {
        await harness.close();
      }
    });

  test("a key has a secret, is found by its description, and is not found once it is revoked", async ({ tailnet }) => {
    const { id, key } = await tailnet.createKey(KEY);
    assert.match(key, /^tskey-auth-[\w-]{16,}$/);
    assert.ok(!key.endsWith(id));
    await tailnet.createKey({ ...KEY, description: "timmy-0123456789abcd" });
    assert.deepEqual(await tailnet.findKeys(KEY.description), [id]);
    assert.deepEqual(await tailnet.findKeys("timmy"), []);
    for (let times = 0; times < 2; times++) await tailnet.revoke(id);
    assert.deepEqual(await tailnet.findKeys(KEY.description), []);
  });

  test("each call makes another key", async ({ tailnet }) => {
    const one = await tailnet.createKey(KEY);
    const two = await tailnet.createKey(KEY);
    assert.notEqual(one.key, two.key);
    assert.deepEqual((await tailnet.findKeys(KEY.description)).sort(), [one.id, two.id].sort());
  });

  test("a key is good until it expires", async ({ tailnet, pass }) => {
    await tailnet.createKey(KEY);
    await pass(3_599_999);
    assert.equal((await tailnet.findKeys(KEY.description)).length, 1);
    await pass(1);
    assert.equal((await tailnet.findKeys(KEY.description)).length, 0);
  });

  test("a key that is not there counts as revoked", async ({ tailnet }) => {
    await tailnet.revoke("k404CNTRL");
  });

  for (const how of ["lose", "cut"] as const) {
    test(`a key whose order was ${how === "lose" ? "answered in vain" : "cut"} can be cleared away`, async (harness) => {
      const { tailnet, spoilNext } = harness;
      spoilNext(how);
      await assert.rejects(tailnet.createKey(KEY), cloudError(true));
      const lost = await tailnet.findKeys(KEY.description);
      assert.equal(lost.length, how === "lose" ? 1 : 0);
      for (const id of lost) await tailnet.revoke(id);
      const { id } = await tailnet.createKey(KEY);
      assert.deepEqual(await tailnet.findKeys(KEY.description), [id]);
    });
  }

  test("while a third of all calls fails, clearing away and making leaves one good key", async (harness) => {
    const { tailnet, storm, calm } = harness;
    const insist = async <T>(call: () => Promise<T>): Promise<T> => {
      for (let tries = 0; tries < 100; tries++) {
        try {
          return await call();
        } catch (error) {
          assert.ok(cloudError(true)(error), String(error));
        }
      }
      return assert.fail("100 tries were not enough");
    };
    for (let seed = 1; seed <= 5; seed++) {
      const order = { ...KEY, description: `timmy-storm${seed}` };
      storm(seed);
      const { id } = await insist(async () => {
        for (const old of await tailnet.findKeys(order.description)) await tailnet.revoke(old);
        return await tailnet.createKey(order);
      });
      calm();
      assert.deepEqual(await tailnet.findKeys(order.description), [id], `seed ${seed}`);
    }
  });

  test("an order that is not valid is refused for good, and no key is made", async ({ tailnet }) => {
    const wrong: Partial<AuthKeyOrder>[] = [
      { description: "" },
      { description: "x".repeat(51) },
      { description: "under_score" },
      { tags: [] },
      { tags: ["timmy-node"] },
      { tags: ["tag:timmy node"] },
      { expirySeconds: 0 },
      { expirySeconds: 1.5 },
      { expirySeconds: 91 * 86_400 },
    ];
    for (const parts of wrong) await assert.rejects(tailnet.createKey({ ...KEY, ...parts }), cloudError(false));
    assert.deepEqual(await tailnet.findKeys(KEY.description), []);
    for (const id of ["", "../x", "a b"]) await assert.rejects(tailnet.revoke(id), cloudError(false));
  });
}
