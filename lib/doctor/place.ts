import { error, type Finding, ok, warning } from "./finding.ts";

/** Below this a running instance is not ready, and below that somebody should look (bytes). */
const NO_ROOM = 64 * 1024 * 1024;
const LITTLE_ROOM = 1024 * 1024 * 1024;
/** What others may do with a file or folder. */
const OTHERS = 0o077;

const mebibytes = (bytes: number) => `${Math.floor(bytes / 1024 / 1024).toLocaleString("en")} MiB`;
/** Secrets, databases and what SQLite lays beside them. */
const isPrivate = (name: string) => /\.(key|seed|kv)(-wal|-shm)?$|^payouts\.journal/.test(name);

/** Free bytes where a path lies, or null when the system does not tell. */
export type FreeBytes = (path: string) => Promise<number | null>;

/** The folder itself, or the nearest one above it that is there. */
async function nearest(path: string): Promise<string> {
  for (let at = path;;) {
    if (await Deno.stat(at).then(({ isDirectory }) => isDirectory, () => false)) return at;
    const cut = at.replace(/\/+$/, "").lastIndexOf("/");
    if (cut < 0) return ".";
    if (cut === 0) return "/";
    at = at.slice(0, cut);
  }
}

/** Where the compiled server may write, whatever DATA_DIR says (scripts/permissions.sh). */
export const COMPILED_FOLDERS = ["./data", "/data", "/var/lib/timmy"] as const;

/** What a data folder means for the compiled server. @param cwd where it is started */
export function checkCompiledPlace(dataDir: string, cwd: string): Finding[] {
  const whole = (path: string) => new URL(path, `file://${cwd.replace(/\/?$/, "/")}`).pathname.replace(/\/+$/, "");
  const inside = COMPILED_FOLDERS.map(whole).some((folder) => `${whole(dataDir)}/`.startsWith(`${folder}/`));
  return inside ? [] : [
    warning(
      "disk",
      `the compiled timmy, started in ${cwd}, may not write to ${dataDir}`,
      `choose one of ${COMPILED_FOLDERS.join(", ")}, or a folder below; or start it from source`,
    ),
  ];
}

/** Whether the data folder can be made or written, and has room. Leaves nothing behind. */
export async function checkDisk(dataDir: string, freeBytes: FreeBytes): Promise<Finding[]> {
  const place = await nearest(dataDir);
  const findings: Finding[] = [];
  const unwritable = await whyNotWritable(dataDir, place);
  if (unwritable !== null) {
    findings.push(
      error(
        "disk",
        `${dataDir} cannot be written: ${unwritable}`,
        "give the folder to the user that runs timmy, or set DATA_DIR",
      ),
    );
  }
  const free = await freeBytes(place);
  if (free === null) {
    return [...findings, warning("disk", "the system does not tell how much room is left", "look with `df -h`")];
  }
  const room = `${mebibytes(free)} are free where ${dataDir} lies`;
  if (free < NO_ROOM) {
    findings.push(
      error("disk", room, "make room: below 64 MiB an instance takes no new work, and a full disk stops it"),
    );
  } else if (free < LITTLE_ROOM) {
    findings.push(warning("disk", room, "make room before it is less than 64 MiB"));
  } else if (unwritable === null) findings.push(ok("disk", room));
  return findings;
}

async function whyNotWritable(dataDir: string, place: string): Promise<string | null> {
  const there = await Deno.lstat(dataDir).then(() => true, (cause) => !(cause instanceof Deno.errors.NotFound));
  if (there && place !== dataDir) return "it is no folder, or may not be entered";
  try {
    const file = await Deno.makeTempFile({ dir: place, prefix: ".timmyctl-" });
    await Deno.remove(file);
    return null;
  } catch (cause) {
    return cause instanceof Error ? cause.name : "unknown";
  }
}

/** Whether anybody but the owner may read secrets and databases, or the file of settings. */
export async function checkPermissions(dataDir: string, envFile: string | null): Promise<Finding[]> {
  const findings: Finding[] = [];
  const open = async (path: string) => {
    const { mode } = await Deno.stat(path);
    return mode !== null && (mode & OTHERS) !== 0;
  };
  const todo = (mode: string, path: string) => `chmod ${mode} ${path}`;
  if (envFile !== null && await open(envFile)) {
    findings.push(error("permissions", `others may read ${envFile}, which holds keys`, todo("600", envFile)));
  }
  try {
    if (await open(dataDir)) {
      findings.push(warning("permissions", `others may look into ${dataDir}`, todo("700", dataDir)));
    }
    for await (const { name, isFile } of Deno.readDir(dataDir)) {
      const path = `${dataDir}/${name}`;
      if (isFile && isPrivate(name) && await open(path)) {
        findings.push(error("permissions", `others may read ${path}`, todo("600", path)));
      }
    }
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory)) {
      const why = cause instanceof Error ? cause.name : "unknown";
      return [
        ...findings,
        error("permissions", `${dataDir} cannot be read: ${why}`, "run this as the user that runs timmy"),
      ];
    }
  }
  return findings.length > 0 ? findings : [ok("permissions", "keys and data are their owner's alone")];
}

/**
 * How old the newest backup is.
 * @param everyHours how often one should be made
 */
export async function checkBackup(folder: string, everyHours: number, nowMs: number): Promise<Finding> {
  const todo = "look why none was made: a backup that is too old loses what was paid in since";
  let newest: number | null = null;
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      const at = isFile ? (await Deno.stat(`${folder}/${name}`)).mtime?.getTime() : undefined;
      if (at !== undefined && (newest === null || at > newest)) newest = at;
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.name : "unknown";
    return error("backup", `BACKUP_DIR cannot be read: ${why}`, "make the folder, or correct BACKUP_DIR");
  }
  if (newest === null) return error("backup", "there is no backup in BACKUP_DIR", todo);
  const hours = Math.max(0, Math.round((nowMs - newest) / 3_600_000));
  return hours > 2 * everyHours
    ? error("backup", `the newest backup is ${hours} h old`, todo)
    : ok("backup", `the newest backup is ${hours} h old`);
}
