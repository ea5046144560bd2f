import { type Checked, checkRelease } from "@/lib/release/check.ts";
import { Refused } from "@/lib/release/refused.ts";
import { RELEASE_KEYS, type ReleaseKey } from "@/lib/release/release-key.ts";
import { type Command, EXIT, flagsOf, type Io } from "./command.ts";
import { placeOf } from "./folder.ts";

export const command: Command = {
  usage: "FOLDER|FILE… [--json]",
  help: `A FOLDER is a whole release: everything that is listed must be there, and nothing else. A FILE is one part of
it, with SHA256SUMS and SHA256SUMS.minisig beside it, under the name it was downloaded with.

The signature is checked first, against the keys in this program (\`timmyctl version\` prints them); without one
nothing is good. Then the sums, the SBOM and the provenance, as far as they are there. Nothing is asked over the network.`,
  run: (args, io) => verify(args, io, RELEASE_KEYS),
};

/** @param keys whose signatures count */
export async function verify(args: readonly string[], io: Io, keys: readonly ReleaseKey[]): Promise<number> {
  const given = flagsOf(args, ["--json"]);
  if (!given || given.rest.length === 0) return EXIT.usage;
  let code: number = EXIT.ok;
  for (const path of given.rest) {
    if (!await verified(path, keys, given.flags.has("--json"), io)) code = EXIT.refused;
  }
  return code;
}

async function verified(path: string, keys: readonly ReleaseKey[], json: boolean, io: Io): Promise<boolean> {
  try {
    const { isDirectory } = await Deno.stat(path);
    const [folder, name] = isDirectory ? [path, null] : apart(path);
    const checked = await checkRelease(placeOf(folder), keys, name);
    if (json) io.out(JSON.stringify(resultOf(path, checked)));
    else io.out(saidOf(path, checked));
    return true;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === null) throw error;
    const { message } = error as Error;
    if (json) io.out(JSON.stringify({ path, ok: false, reason, message }));
    else io.err(`REFUSED ${path}: ${message} (${reason})`);
    return false;
  }
}

/** Why it is refused in one word; null for what is a fault of this program. */
function reasonOf(error: unknown): string | null {
  if (error instanceof Refused) return error.reason;
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return "missing";
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.IsADirectory) return "unreadable";
  return null;
}

const resultOf = (path: string, { version, commit, key, files, also }: Checked) => ({
  path,
  ok: true,
  version,
  commit,
  signedBy: { name: key.name, minisign: key.minisign, test: key.test },
  files: Object.fromEntries(files),
  also,
});

function saidOf(path: string, { version, commit, key, files, also }: Checked): string {
  const lines = [
    `good    ${path}: timmy ${version}, commit ${commit}`,
    `        signed by the ${key.name} ${key.minisign}`,
    ...[...files].map(([name, hash]) => `        ${hash}  ${name}`),
    ...(also.length > 0 ? [`        checked too: ${also.join(", ")}`] : []),
  ];
  if (key.test) {
    lines.push("WARNING the test key signed it, and everybody has that one: this says nothing about who made it");
  }
  return lines.join("\n");
}

function apart(path: string): [folder: string, name: string] {
  const at = path.lastIndexOf("/");
  return at < 0 ? [".", path] : [path.slice(0, at) || "/", path.slice(at + 1)];
}
