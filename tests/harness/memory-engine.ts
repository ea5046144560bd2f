import type { Engine, EngineRow, Key, KeyPart } from "@/lib/store/engine.ts";
import type { Random } from "@/lib/ids.ts";

/** What a test may do to the next commit: `before`: it never lands; `after`: it lands. The answer never comes. */
export type CommitCut = "before" | "after";

export interface MemoryEngine extends Engine {
  /** Calls under way. */
  busy(): boolean;
  /** Asked at each commit; a cut commit calls `onCut` and never answers, as in a process that died there. */
  cutAt: ((commit: number) => CommitCut | null) | null;
  onCut: () => void;
  /** Commits that were asked for so far. */
  commits(): number;
  /** The same rows in a database of their own. */
  copy(): MemoryEngine;
  /** First parts of the keys under which rows lie. */
  tables(): KeyPart[];
}

/**
 * A database in plain memory for tests whose every step must replay: no thread answers in an order of its own. Each call
 * takes a few turns of the microtask queue, how many `random` says, so that calls overtake one another.
 */
export function createMemoryEngine(
  random: Random,
  /** By the first part of the key, which every prefix names. */
  tables: Map<KeyPart, Map<string, EngineRow>> = new Map(),
  version = 0,
): MemoryEngine {
  let commits = 0;
  let calls = 0;

  const table = (key: Key) => {
    const first = key[0] ?? "";
    const rows = tables.get(first) ?? new Map<string, EngineRow>();
    tables.set(first, rows);
    return rows;
  };
  const find = (key: Key) => table(key).get(JSON.stringify(key)) ?? null;

  async function during<T>(effect: () => T | Promise<T>): Promise<T> {
    calls++;
    try {
      for (let turns = (random.bytes(1)[0] ?? 0) & 7; turns > 0; turns--) await Promise.resolve();
      return await effect();
    } finally {
      calls--;
    }
  }
  const cut = () => {
    calls--; // nobody waits for it any more
    engine.onCut();
    return new Promise<never>(() => {});
  };

  const engine: MemoryEngine = {
    exclusive: true,
    cutAt: null,
    onCut: () => {},
    busy: () => calls > 0,
    commits: () => commits,
    copy: () =>
      createMemoryEngine(random, new Map([...tables].map(([first, rows]) => [first, new Map(rows)])), version),
    tables: () => [...tables].filter(([, rows]) => rows.size > 0).map(([first]) => first),
    get: (keys) => during(() => keys.map(find)),
    list: (prefix, { limit, after, reverse = false }) =>
      during(() => {
        const rows = [...table(prefix).values()]
          .filter(({ key }) => prefix.length < key.length && prefix.every((part, i) => key[i] === part))
          .sort((a, b) => reverse ? compareKeys(b.key, a.key) : compareKeys(a.key, b.key));
        const beyond = (key: Key) => !after || (reverse ? compareKeys(key, after) < 0 : compareKeys(key, after) > 0);
        return rows.filter(({ key }) => beyond(key)).slice(0, limit);
      }),
    commit: ({ check, set, delete: remove }) =>
      during(() => {
        commits++;
        const fate = engine.cutAt?.(commits) ?? null;
        if (fate === "before") return cut();
        if ((find(check.key)?.versionstamp ?? null) !== check.versionstamp) return null;
        const versionstamp = String(++version).padStart(20, "0");
        for (const { key, value } of set) table(key).set(JSON.stringify(key), { key, value, versionstamp });
        for (const key of remove) table(key).delete(JSON.stringify(key));
        return fate === "after" ? cut() : { versionstamp };
      }),
    onBell: () => {},
    close: () => {},
  };
  return engine;
}

/** Deno KV's order: text before numbers, part by part, a prefix before what it is a prefix of. */
function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]] as [KeyPart, KeyPart];
    if (x === y) continue;
    if (typeof x !== typeof y) return typeof x === "string" ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}
