/// <reference lib="deno.unstable" />
import type { Commit, Engine, EngineRow, Key } from "@/lib/store/engine.ts";
import { UnreadableRow } from "@/lib/store/readable.ts";

/** The only file that sees `Deno.Kv`. */

const KV_VARIABLES = ["DENO_KV_DB_MODE", "DENO_KV_PATH_PREFIX", "DENO_KV_DEFAULT_PATH"] as const;

/**
 * Variables that make `Deno.openKv` ignore its path or keep everything in memory, whatever permissions it has.
 * @returns the names of those that are set: with any of them nothing would be durable.
 */
export function overridingVariables(env: (name: string) => string | undefined): string[] {
  return KV_VARIABLES.filter((name) => env(name) !== undefined);
}

/** How often, and how long apart (ms), a commit is repeated while somebody else holds SQLite's write lock. */
const BUSY_TRIES = 50;
const BUSY_WAIT_MS = 10;

/**
 * Commits, and again while another handle on the file is writing at that very moment. A repeat can do no harm: with the
 * check, it applies only where the first did not.
 */
async function committed(atomic: Deno.AtomicOperation): Promise<Deno.KvCommitResult | Deno.KvCommitError> {
  for (let attempt = 1;; attempt++) {
    try {
      return await atomic.commit();
    } catch (error) {
      if (attempt >= BUSY_TRIES || !(error instanceof Error && /database is locked/.test(error.message))) throw error;
      await new Promise((resolve) => setTimeout(resolve, BUSY_WAIT_MS));
    }
  }
}

interface BellMessage {
  bell: 1;
}

/**
 * Opens a Deno KV file, `:memory:`, or (an http(s) URL) a KV Connect server.
 * @param options.exclusive nobody else writes: true for a file under our lock and for `:memory:`.
 */
export async function openDenoEngine(target: string, options: { exclusive: boolean }): Promise<Engine> {
  const kv = await Deno.openKv(target);
  const remote = /^https?:/.test(target);

  const rowOf = (entry: Deno.KvEntry<unknown>): EngineRow => {
    if (!(entry.value instanceof Uint8Array)) {
      throw new UnreadableRow(entry.key as Key, "it is no text, and so not what this program writes");
    }
    return { key: entry.key as Key, value: entry.value, versionstamp: entry.versionstamp };
  };

  return {
    exclusive: options.exclusive,
    async get(keys) {
      const rows = keys.length === 1 ? [await kv.get(keys[0] as Deno.KvKey)] : await kv.getMany(keys as Deno.KvKey[]);
      return rows.map((row) => row.versionstamp === null ? null : rowOf(row));
    },
    async list(prefix, { limit, after, reverse = false }) {
      // Bytes sort before every other kind of key part: this is the smallest key above `after`.
      const beyond = after && [...after, new Uint8Array()];
      const selector: Deno.KvListSelector = !after
        ? { prefix: [...prefix] }
        : reverse
        ? { prefix: [...prefix], end: [...after] }
        : { prefix: [...prefix], start: beyond! };
      const rows: EngineRow[] = [];
      for await (const entry of kv.list(selector, { limit, reverse, batchSize: Math.min(limit, 500) })) {
        rows.push(rowOf(entry));
      }
      return rows;
    },
    async commit({ check, set, delete: remove, bell }: Commit) {
      const atomic = kv.atomic().check({ key: [...check.key], versionstamp: check.versionstamp });
      for (const { key, value } of set) atomic.set([...key], value);
      for (const key of remove) atomic.delete([...key]);
      if (bell && !remote) atomic.enqueue({ bell: 1 } satisfies BellMessage);
      const result = await committed(atomic);
      return result.ok ? { versionstamp: result.versionstamp } : null;
    },
    onBell(ring) {
      // A KV Connect server has no queue: `listenQueue` would wait forever. The sweeper does without.
      if (!remote) kv.listenQueue(() => ring());
    },
    close: () => kv.close(),
  };
}
