import { openRemoteEngine, STORE_FILE, WALLET_FILE } from "./deps.ts";
import type { Env } from "./env.ts";
import { openWalletCopy } from "./wallet-copy.ts";
import { audit, type AuditCheck } from "@/lib/ledger/audit/audit.ts";
import { sourceOf } from "@/lib/ledger/audit/source.ts";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import { createStore, type Store } from "@/lib/store/store.ts";
import { DataDirError } from "@/lib/store/data-dir.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";

/** A payout that finishes between the two looks makes the wallet seem short: only a lasting difference counts. */
const LOOKS = 3;

/**
 * Proves the ledger of the instance in DATA_DIR, which may be running: it reads a copy. Prints one line a check and stops
 * at the first that fails.
 * @returns the exit code.
 */
export async function auditInstance(env: Env, print: (line: string) => void): Promise<number> {
  for (const { name, ok, detail } of await auditChecks(env)) {
    print(`${ok ? "ok  " : "FAIL"}  ${name}: ${detail}`);
    if (!ok) return 1;
  }
  return 0;
}

/** The same as a list: every check, in order. */
export async function auditChecks(env: Env): Promise<AuditCheck[]> {
  let checks: AuditCheck[] = [];
  for (let look = 0; look < LOOKS; look++) {
    checks = await lookOnce(env);
    if (checks.every((check) => check.ok)) break;
  }
  return checks;
}

/** Opens the database as the program does, over a copy, and closes it again. @throws StoreError, DataDirError */
export async function openOnce(env: Env): Promise<void> {
  if (!env.kvUrl) return await withCopy(`${env.dataDir}/${STORE_FILE}`, (store) => store.version().then(() => {}));
  const store = await openStore(openRemoteEngine(env.kvUrl), "the database of KV_URL");
  await store.close();
}

async function lookOnce(env: Env): Promise<AuditCheck[]> {
  if (env.kvUrl) return await remoteChecks(env.kvUrl, env);
  return await withCopy(`${env.dataDir}/${STORE_FILE}`, (store) => checksOf(store, env));
}

/**
 * The checks over a copy, and then the wallet's word: in this order, since what comes in meanwhile only makes it hold more.
 * The ledger is proven whether or not the wallet answers; that it does not is a failure of its own, at the end.
 */
async function checksOf(store: Store, env: Env): Promise<AuditCheck[]> {
  try {
    return await audit(sourceOf(store), await walletSats(env));
  } catch (error) {
    if (!(error instanceof WalletError)) throw error;
    const checks = await audit(sourceOf(store), null);
    return [...checks, { name: "the wallet tells its balance", ok: false, detail: error.message }];
  }
}

/** A remote database cannot be copied: what was read is consistent only when nothing was written meanwhile. */
async function remoteChecks(url: string, env: Env): Promise<AuditCheck[]> {
  const store = await openStore(openRemoteEngine(url), "the database of KV_URL");
  try {
    const before = await store.version();
    const checks = await checksOf(store, env);
    const quiet = await store.version() === before;
    const name = "the database was quiet while it was read";
    return [{ name, ok: quiet, detail: quiet ? "yes" : "no: stop the instance and run the audit again" }, ...checks];
  } finally {
    await store.close();
  }
}

/** The wallet's own word. The simulated one is asked in a copy of its own database, since a process may be using it. */
async function walletSats(env: Env): Promise<number | null> {
  if (env.lightning.kind !== "simulated") return await (await openWalletCopy(env, null)).balanceSats();
  return await withCopy(
    `${env.dataDir}/${WALLET_FILE}`,
    async (store) => await (await openWalletCopy(env, store)).balanceSats(),
  );
}

const openStore = async (engine: Promise<Engine>, name: string): Promise<Store> =>
  await createStore({ engine: await engine, name, clock: systemClock, random: systemRandom });

/** Backs a live database file up, reads the copy, and removes it. */
async function withCopy<T>(file: string, read: (store: Store) => Promise<T>): Promise<T> {
  const { backup, DatabaseSync } = await import("node:sqlite");
  await Deno.stat(file).catch((cause) => {
    throw new DataDirError(`${file} cannot be read: is DATA_DIR the folder of an instance?`, { cause });
  });
  const copy = `${file}.audit-${Deno.pid}`;
  try {
    const live = new DatabaseSync(file, { readOnly: true });
    try {
      await backup(live, copy);
    } finally {
      live.close();
    }
    const store = await openStore(openDenoEngine(copy, { exclusive: true }), file);
    try {
      return await read(store);
    } finally {
      await store.close();
    }
  } finally {
    for (const end of ["", "-wal", "-shm"]) await Deno.remove(copy + end).catch(() => {});
  }
}
