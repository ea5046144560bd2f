import type { SimStore, SimTx } from "../simulated-rows.ts";

/**
 * The least a store can be: transactions one after the other, values kept as JSON, and every transaction function run
 * twice, as a store may do: one with a hidden effect shows.
 */
export function memoryStore(rows: Map<string, string> = new Map()): SimStore & { rows: Map<string, string> } {
  let last: Promise<unknown> = Promise.resolve();
  const parse = (text: string | undefined) => text === undefined ? null : JSON.parse(text);
  const run = async <T>(fn: (tx: SimTx) => Promise<T> | T) => {
    const writes = new Map<string, string>();
    const set: SimTx["set"] = (key, value) => void writes.set(JSON.stringify(key), JSON.stringify(value));
    const result = await fn({
      get: (key) => {
        const name = JSON.stringify(key);
        return Promise.resolve(parse(writes.get(name) ?? rows.get(name)));
      },
      set,
      insert: set,
    });
    return { result, writes };
  };
  return {
    rows,
    get: (key) => Promise.resolve(parse(rows.get(JSON.stringify(key)))),
    list(prefix, { limit, after }) {
      const under = [...rows].map(([name, text]) => ({ key: JSON.parse(name), value: JSON.parse(text) }))
        .filter(({ key }) => prefix.every((part, i) => key[i] === part) && key.length > prefix.length)
        .sort((a, b) => String(a.key) < String(b.key) ? -1 : 1)
        .filter(({ key }) => !after || String(key) > String(after));
      return Promise.resolve(under.slice(0, limit));
    },
    transact(fn) {
      const turn = last.then(async () => {
        await run(fn);
        const { result, writes } = await run(fn);
        for (const [name, text] of writes) rows.set(name, text);
        return result;
      });
      last = turn.catch(() => {});
      return turn;
    },
  };
}
