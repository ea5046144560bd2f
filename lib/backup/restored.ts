/** What a start finds in its data folder after a restore, and what the operator has decided. */
import { BackupError } from "./archive.ts";
import { type Restored, RESTORED_FILE, RESTORING_FILE } from "./folder.ts";

/** `release`: what is frozen may move. `accept`: serve without having asked the wallet what it did since the backup. */
export type Decision = "release" | "accept";

export interface AfterRestore {
  /** Null: this folder was not restored, or has caught up. */
  restored(): Promise<Restored | null>;
  /** It has caught up. @param now ms since the epoch */
  caughtUp(now: number): Promise<void>;
  decision(): Promise<Decision | null>;
  /** It was acted on, once. */
  decided(): Promise<void>;
}

const DECISION_FILE = "recover-decision.json";

/** @param folder the data folder */
export function afterRestore(folder: string): AfterRestore {
  const at = (name: string) => `${folder}/${name}`;
  return {
    async restored() {
      if (await read(at(RESTORING_FILE)) !== null) {
        throw new BackupError(`a restore into ${folder} was broken off: empty the folder and restore again`);
      }
      const text = await read(at(RESTORED_FILE));
      return text === null ? null : restoredIn(text, at(RESTORED_FILE));
    },
    caughtUp: (now) =>
      Deno.rename(at(RESTORED_FILE), at(`restored-${new Date(now).toISOString().replaceAll(":", "")}.json`)),
    async decision() {
      const text = await read(at(DECISION_FILE));
      if (text === null) return null;
      const decision = (parsed(text, at(DECISION_FILE)) as { decision?: unknown }).decision;
      if (decision === "release" || decision === "accept") return decision;
      throw new BackupError(`${at(DECISION_FILE)} names no decision: write it with timmyctl recover`);
    },
    decided: () => Deno.remove(at(DECISION_FILE)),
  };
}

/** Written by the operator's command, read at the next start. */
export async function decide(folder: string, decision: Decision): Promise<void> {
  const file = `${folder}/${DECISION_FILE}`;
  await Deno.writeTextFile(`${file}.new`, `${JSON.stringify({ v: 1, decision })}\n`, { mode: 0o600 });
  await Deno.rename(`${file}.new`, file);
}

function restoredIn(text: string, file: string): Restored {
  const { v, backupAt, restoredAt, secrets } = parsed(text, file) as Partial<Restored>;
  if (v === 1 && Number.isSafeInteger(backupAt) && Number.isSafeInteger(restoredAt)) {
    return { v, backupAt: backupAt!, restoredAt: restoredAt!, secrets: secrets === true };
  }
  throw new BackupError(`${file} is damaged: empty the folder and restore again`);
}

function parsed(text: string, file: string): object {
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // said below
  }
  throw new BackupError(`${file} is damaged: restore again, or write it again with timmyctl recover`);
}

async function read(file: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
