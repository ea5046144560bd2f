/** Backups that an instance makes of itself. */
import { type Clock, sleep } from "@/lib/clock.ts";
import type { Logger } from "@/lib/logger.ts";
import { backUp } from "./backup.ts";

export interface ScheduleSettings {
  /** A folder that this program may write to. */
  folder: string;
  everyMs: number;
  /** How many are kept; older ones of its own are removed. */
  keep: number;
  /** With one they are encrypted and hold the key files; null: neither. */
  passphrase: string | null;
}

/** After one that failed (ms). */
const AGAIN_MS = 600_000;
/** What it names its files, by their time: others in the folder are nobody's business. */
const NAME = /^timmy-(\d{4}-\d\d-\d\d)T(\d\d)(\d\d)(\d\d)Z\.tmb$/;

export const nameAt = (now: number): string =>
  `timmy-${new Date(now).toISOString().replace(/\.\d+Z$/, "Z").replaceAll(":", "")}.tmb`;

/** When a file of the schedule's was begun (ms since the epoch); null: it is none of them. */
export function timeIn(name: string): number | null {
  const [, day, hours, minutes, seconds] = NAME.exec(name) ?? [];
  return day === undefined ? null : Date.parse(`${day}T${hours}:${minutes}:${seconds}Z`);
}

export interface Schedule {
  start(): void;
  /** Waits for one that is being made. */
  stop(): Promise<void>;
}

/** @param data the data folder @param log2N of the work of a try with the passphrase; tests take less */
export function createSchedule(
  settings: ScheduleSettings,
  { data, clock, log, program, log2N }: { data: string; clock: Clock; log: Logger; program: string; log2N?: number },
): Schedule {
  const { folder, everyMs, keep, passphrase } = settings;
  const stopper = new AbortController();
  let running: Promise<void> = Promise.resolve();

  const made = async (): Promise<string[]> => {
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    return names.filter((name) => timeIn(name) !== null).toSorted();
  };

  async function once(): Promise<void> {
    const now = clock.now();
    const options = { secrets: passphrase !== null, passphrase, now, program, ...(log2N !== undefined && { log2N }) };
    const { files } = await backUp(data, `${folder}/${nameAt(now)}`, options);
    log.info({ bytes: files.reduce((sum, { size }) => sum + size, 0) }, "backed up, read back and found good");
    for (const name of (await made()).slice(0, -keep)) await Deno.remove(`${folder}/${name}`);
  }

  async function run(): Promise<void> {
    while (!stopper.signal.aborted) {
      let waitMs = AGAIN_MS;
      try {
        await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
        const last = timeIn((await made()).at(-1) ?? "") ?? -Infinity;
        const now = clock.now();
        // One that lies in the future, of a clock that was wrong, holds nothing back.
        if (last > now || now - last >= everyMs) await once();
        waitMs = last > now || now - last >= everyMs ? everyMs : last + everyMs - now;
      } catch (error) {
        log.error(
          { code: "backup_failed", error },
          "no backup was made; it is tried again in ten minutes: check BACKUP_DIR and the disk",
        );
      }
      await sleep(clock, waitMs, stopper.signal);
    }
  }

  return {
    start: () => void (running = run()),
    async stop() {
      stopper.abort();
      await running;
    },
  };
}
