import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import type { Engine, Key } from "./engine.ts";
import { openDenoEngine } from "./engines/deno.ts";
import { readable, type Shape } from "./readable.ts";
import { createStore, type Store, StoreError, UnreadableRow } from "./store.ts";

interface Purse {
  v: 1;
  owner: string | null;
  sats: number;
  state: "open" | "shut";
  token: { hash: string };
  paid: { at: number } | null;
  notes: string[];
  old?: string;
}
const PURSE: Shape<Purse> = {
  owner: "text?",
  sats: "count",
  state: ["open", "shut"],
  token: { hash: "text" },
  paid: { "?": { at: "whole" } },
  notes: "list",
};
const GOOD: Purse = { v: 1, owner: null, sats: 0, state: "open", token: { hash: "h" }, paid: null, notes: [] };
const KEY = ["purse", "capability"];
const read = (row: object) => readable(PURSE, KEY, row as Purse);

Deno.test("readable: what fits comes back as it is, with fields nobody asked for, and without those that may be missing", () => {
  assert.equal(readable(PURSE, KEY, null), null);
  assert.equal(read(GOOD), GOOD);
  read({ ...GOOD, owner: "o", sats: 2 ** 53 - 1, paid: { at: -1 }, notes: ["n"], more: 1 });
});

Deno.test("readable: what is missing, of another kind or of another version is named with its table, and never with its key", () => {
  const { sats: _, ...without } = GOOD;
  const cases: [object, RegExp][] = [
    [without, /field sats/],
    [{ ...GOOD, sats: "5" }, /field sats/],
    [{ ...GOOD, sats: -1 }, /field sats/],
    [{ ...GOOD, sats: 0.5 }, /field sats/],
    [{ ...GOOD, sats: null }, /field sats/],
    [{ ...GOOD, owner: 7 }, /field owner/],
    [{ ...GOOD, state: "ajar" }, /field state/],
    [{ ...GOOD, token: null }, /field token/],
    [{ ...GOOD, token: {} }, /field token\.hash/],
    [{ ...GOOD, paid: { at: "then" } }, /field paid\.at/],
    [{ ...GOOD, paid: undefined }, /field paid/],
    [{ ...GOOD, notes: {} }, /field notes/],
    [{ ...GOOD, v: 99 }, /version 99/],
    [{ ...GOOD, v: undefined }, /version undefined/],
  ];
  for (const [row, fault] of cases) {
    assert.throws(() => read(row), (error) => {
      assert.ok(error instanceof UnreadableRow);
      assert.match(error.message, fault);
      assert.match(error.message, /table purse/);
      assert.doesNotMatch(error.message, /capability/);
      assert.deepEqual(error.key, KEY);
      return true;
    });
  }
});

Deno.test("readable: an object that may still change is looked at each time, a frozen one once", () => {
  const loose = { ...GOOD };
  read(loose);
  loose.sats = -1;
  assert.throws(() => read(loose), UnreadableRow);
  let looks = 0;
  const frozen = Object.freeze({
    ...GOOD,
    token: {
      get hash() {
        looks++;
        return "h";
      },
    },
  });
  for (let i = 0; i < 5; i++) read(frozen);
  assert.equal(looks, 1);
});

// ---- bytes that are no record, and databases of another layout -----------------------------------------------------

const text = (value: string) => new TextEncoder().encode(value);
const open = (engine: Engine): Promise<Store> =>
  createStore({ engine, clock: systemClock, random: systemRandom, name: "data/timmy.kv" });

async function onEngine(fn: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await openDenoEngine(":memory:", { exclusive: true });
  try {
    await fn(engine);
  } finally {
    engine.close();
  }
}
const write = (engine: Engine, key: Key, value: string) =>
  engine.commit({
    check: { key: ["none"], versionstamp: null },
    set: [{ key, value: text(value) }],
    delete: [],
    bell: false,
  });

for (const bytes of ["", "{", "null", "7", '{"v":0,"pieces":', "\u0000"]) {
  Deno.test(`store: a row of the bytes ${JSON.stringify(bytes)} is unreadable, not absent and not the database's trouble`, () =>
    onEngine(async (engine) => {
      const before = await open(engine);
      await before.transact((tx) => tx.set(["t", "good"], { v: 1 }));
      await write(engine, ["t", "bad"], bytes);
      const store = await open(engine);
      await assert.rejects(store.get(["t", "bad"]), UnreadableRow);
      await assert.rejects(store.transact((tx) => tx.get(["t", "bad"])), UnreadableRow);
      await assert.rejects(store.list(["t"]), UnreadableRow);
      assert.deepEqual(await store.keys(["t"]), [["t", "bad"], ["t", "good"]]);
      assert.deepEqual(await store.get(["t", "good"]), { v: 1 });
      assert.ok(store.healthy());
    }));
}

const refused = (...parts: string[]) => (error: unknown) => {
  assert.ok(error instanceof StoreError);
  assert.equal(error.code, "layout");
  for (const part of ["data/timmy.kv", ...parts]) assert.ok(error.message.includes(part), error.message);
  return true;
};

for (
  const [v, name] of [["2", "layout 2"], ["0", "layout 0"], ['"1"', 'layout "1"'], ["null", "layout null"]] as const
) {
  Deno.test(`store: a database of ${name} is refused at start by name, and is left as it was`, () =>
    onEngine(async (engine) => {
      const head = `{"v":${v},"seq":4,"group":"g","last":[]}`;
      await write(engine, ["head"], head);
      await assert.rejects(open(engine), refused(name, "reads layout 1"));
      assert.equal(new TextDecoder().decode((await engine.get([["head"]]))[0]?.value), head);
    }));
}

Deno.test("store: a head row that is no record is refused by name too", () =>
  onEngine(async (engine) => {
    await write(engine, ["head"], "{");
    await assert.rejects(open(engine), refused("table head"));
  }));

Deno.test("store: rows without a mark of their layout are refused; an empty database, a probe and our own are not", () =>
  onEngine(async (engine) => {
    await (await open(engine)).get(["x"]);
    await write(engine, ["probe"], '{"v":1,"text":"x"}');
    await open(engine);
    await write(engine, ["session", "s"], '{"v":1}');
    await assert.rejects(open(engine), refused("no mark of its layout"));
    await engine.commit({
      check: { key: ["none"], versionstamp: null },
      set: [],
      delete: [["session", "s"]],
      bell: false,
    });
    await (await open(engine)).transact((tx) => tx.set(["session", "s"], { v: 1 }));
    assert.deepEqual(await (await open(engine)).get(["session", "s"]), { v: 1 });
  }));

Deno.test("store: a file of another program is refused by name", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const other = await Deno.openKv(`${folder}/timmy.kv`);
    await other.set(["users", 1], { name: "somebody" });
    other.close();
    const engine = await openDenoEngine(`${folder}/timmy.kv`, { exclusive: true });
    try {
      await assert.rejects(open(engine), refused("another program"));
    } finally {
      engine.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
