/** What a restore would come to, tried in a folder that is thrown away. */
import { ENV_NAMES, EnvError, parseEnv } from "../env.ts";
import { VERSION } from "../version.ts";
import { openWalletCopy } from "../wallet-copy.ts";
import { BackupError, restore } from "@/lib/backup/backup.ts";
import { audit } from "@/lib/ledger/audit/audit.ts";
import { recordMadeAt } from "@/lib/ledger/audit/records.ts";
import { sourceOf } from "@/lib/ledger/audit/source.ts";
import { WalletError, type WalletHistory } from "@/lib/lightning/port.ts";
import { type JournalEntry, readEntry } from "@/lib/payments/journal.ts";
import { catchUp } from "@/lib/payments/recovery.ts";
import { openJournalFile } from "@/lib/store/journal-file.ts";
import type { Store } from "@/lib/store/store.ts";
import type { Io } from "./command.ts";
import { withStoreCopy } from "./store-copy.ts";

/**
 * Restores into a temporary folder, audits, and says what catching up with the wallet would do. Neither DATA_DIR nor the wallet is
 * changed: the wallet is asked for its list of payments, and the payments that the copy lacks are booked in the copy alone.
 * @param journal a newer journal; default: that of DATA_DIR, if there is one
 * @returns whether the books are right
 * @throws {BackupError | AgeError}
 */
export async function drill(
  io: Io,
  file: string,
  options: { folder: string; passphrase: string | null; journal: string | undefined },
): Promise<boolean> {
  const { folder, passphrase } = options;
  const journal = options.journal ?? await present(`${folder}/payouts.journal`);
  const trial = await Deno.makeTempDir({ prefix: "timmyctl-drill-" });
  try {
    const given = { passphrase, now: Date.now(), program: VERSION, ...(journal !== undefined && { journal }) };
    const { header } = await restore(file, `${trial}/data`, given);
    io.out(
      `the backup is whole: ${header.files.map(({ name }) => name).join(", ")}, of ${
        new Date(header.at).toISOString()
      }`,
    );
    io.out(header.secrets ? "the key files are in it" : "the key files are not in it: a restore needs yours");
    return await withStoreCopy(`${trial}/data/timmy.kv`, async (store) => {
      const wrong = (await audit(sourceOf(store), null)).find(({ ok }) => !ok);
      io.out(wrong ? `the books are WRONG: ${wrong.name}: ${wrong.detail}` : "the books are right");
      const entries = (await openJournalFile(`${trial}/data/payouts.journal`).lines()).map(readEntry);
      const known = entries.filter((entry): entry is JournalEntry => entry !== null);
      await sayRecovery(io, { store, folder, journal: known, backupAt: header.at });
      return !wrong;
    });
  } finally {
    await Deno.remove(trial, { recursive: true });
  }
}

async function sayRecovery(
  io: Io,
  { store, folder, journal, backupAt }: { store: Store; folder: string; journal: JournalEntry[]; backupAt: number },
): Promise<void> {
  let history: WalletHistory | null;
  try {
    history = await withWallet(folder, (wallet) => wallet.listPayments(backupAt - 86_400_000));
  } catch (error) {
    if (![WalletError, EnvError, BackupError, Deno.errors.NotFound].some((kind) => error instanceof kind)) throw error;
    return io.out(`what a recovery would do is not known: ${(error as Error).message}`);
  }
  if (!history) {
    return io.out("this wallet cannot list its payments: a recovery would wait for timmyctl recover --accept");
  }
  const options = {
    store,
    wallet: { listPayments: () => Promise.resolve(history) },
    journal: { append: () => Promise.reject(new Error("nothing is paid")), entries: () => Promise.resolve(journal) },
    check: () => Promise.resolve(),
    createdAt: (handle: string) => recordMadeAt(store, handle),
    claimDays: 30,
  };
  const found = await catchUp(options, backupAt, Date.now());
  if (!found) return;
  const { paying, settled, recovered, frozen } = found;
  io.out(
    `a recovery would find ${paying} payouts by the journal, ${settled} invoices that were paid, and ${recovered} payments that nothing knows`,
  );
  if (!frozen) return io.out("nothing would be frozen");
  const what = frozen.everything ? "every open refund and session of the backup" : `${frozen.handles.length} records`;
  io.out(`${what} would be frozen, for ${frozen.count} payments of ${frozen.sats} sats`);
}

/** The instance's own wallet, by the settings that the server has; the simulated one as a copy. */
async function withWallet<T>(
  folder: string,
  use: (wallet: Awaited<ReturnType<typeof openWalletCopy>>) => Promise<T>,
): Promise<T> {
  const env = parseEnv(Object.fromEntries(ENV_NAMES.map((name) => [name, Deno.env.get(name)])));
  if (env.lightning.kind !== "simulated") return await use(await openWalletCopy(env, null));
  const file = `${folder}/simulated-wallet.kv`;
  if (await present(file) === undefined) {
    throw new BackupError("neither LNBITS_URL nor a simulated wallet in DATA_DIR says which wallet to ask");
  }
  return await withStoreCopy(file, async (copy) => await use(await openWalletCopy({ ...env, dataDir: folder }, copy)));
}

const present = (file: string): Promise<string | undefined> =>
  Deno.stat(file).then(() => file, (error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
