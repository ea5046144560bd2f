// deno-lint-ignore-file no-console -- a command prints
/**
 * Makes a release of the commit that is checked out: both programs for both architectures, SBOM, provenance, sums, signatures; then
 * checks it as a stranger would. `deno task release` [--out FOLDER]. docs/release.md says what it needs.
 *
 *   DENO                         deno 2.6.10 (default: the one that runs this)
 *   DENORT_BIN                   its base program for x86_64
 *   DENORT_BIN_AARCH64           its base program for aarch64
 *   TIMMY_RELEASE_KEY            file of the minisign secret key; without it the test key signs
 *   TIMMY_RELEASE_KEY_PASSWORD   its password, where it has one
 */
import { hashOf, placeOf } from "../cli/folder.ts";
import { checkRelease, SUMS } from "../lib/release/check.ts";
import { ecdsaPublicOf } from "../lib/release/cosign.ts";
import { papersOf } from "../lib/release/make.ts";
import { type MinisignSecretKey, publicKeyOf, writePublicKey } from "../lib/release/minisign.ts";
import { Refused } from "../lib/release/refused.ts";
import { RELEASE_KEYS } from "../lib/release/release-key.ts";
import { ecdsaSecretOf, readSecretKey, SecretKeyError } from "../lib/release/secret-key.ts";
import { TEST_KEY, TEST_SECRET } from "../lib/release/test-key.ts";
import { VERSION } from "../version.ts";

/** The release cannot be made; the message says what to do. */
class ReleaseError extends Error {
  override name = "ReleaseError";
}

/** What decides the bytes of a binary. Another one makes another binary, so a release takes these and no others. */
const TOOLS = {
  deno: { version: "2.6.10", sha256: "bb9513ce8a9a7a976a77e0a32c5818035fb72dff6364afc5b8659594ba4a6139" },
  esbuild: { version: "0.25.5", sha256: "3331e0b23c99d93d9a39e436a4838de40ca1c95ac3bcbd9874ba169d8545b634" },
  "denort-x86_64": { version: "2.6.10", sha256: "1b136202dc147212ad0b129de0c10eb5f17060917c9754c7921cd68f764ad2e2" },
  "denort-aarch64": { version: "2.6.10", sha256: "ee39b54b2f465eae3f1dd3d79495e1ef957fae69ff4f6ad118499986b714d494" },
} as const;
const ARCHITECTURES = ["x86_64", "aarch64"] as const;
const PROGRAMS = ["timmy", "timmyctl"] as const;
/** Files that an earlier run left; a folder with anything else is not ours to empty. */
const OURS = /^(timmy(ctl)?(-[\w.-]+)?|SHA256SUMS[\w.]*|provenance\.json|(minisign|cosign)\.pub)$/;
/** Stands in the provenance: what anybody runs to get these bytes. */
const COMMAND = "deno task release";

/** As in scripts/compile.sh. */
const CA_STORE = { DENO_TLS_CA_STORE: Deno.env.get("DENO_TLS_CA_STORE") || "mozilla,system" };

interface Options {
  out: string;
}

export function optionsOf(args: readonly string[]): Options | null {
  const options: Options = { out: "dist" };
  for (let i = 0; i < args.length; i += 2) {
    const value = args[i + 1];
    if (args[i] !== "--out" || !value) return null;
    options.out = value;
  }
  return options;
}

async function output(command: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, env }).output();
  if (!success) throw new ReleaseError(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout).trim();
}

async function commitOf(): Promise<string> {
  const changed = await output("git", ["status", "--porcelain"]);
  if (changed !== "") throw new ReleaseError(`a release is made of a commit; commit or remove:\n${changed}`);
  return await output("git", ["rev-parse", "HEAD"]);
}

/** Where the tools lie, each compared with its hash. */
async function toolsOf(): Promise<Record<keyof typeof TOOLS, string>> {
  const deno = Deno.env.get("DENO") ?? Deno.execPath();
  const { denoDir } = JSON.parse(await output(deno, ["info", "--json"]));
  const base = (name: string, arch: string) => {
    const path = Deno.env.get(name);
    if (!path) {
      throw new ReleaseError(`set ${name} to the base program (denort) of Deno ${TOOLS.deno.version} for ${arch}`);
    }
    return path;
  };
  const paths = {
    deno,
    esbuild: `${denoDir}/dl/esbuild-${TOOLS.esbuild.version}/esbuild-linux-x64`,
    "denort-x86_64": base("DENORT_BIN", "x86_64"),
    "denort-aarch64": base("DENORT_BIN_AARCH64", "aarch64"),
  };
  // Deno brings its bundler when it first needs it.
  const nothing = await Deno.makeTempFile({ suffix: ".js" });
  await output(deno, ["bundle", "--quiet", "--no-config", nothing], CA_STORE);
  await Deno.remove(nothing);
  for (const [name, { version, sha256 }] of Object.entries(TOOLS)) {
    const path = paths[name as keyof typeof TOOLS];
    const found = await hashOf(path);
    if (found !== sha256) {
      throw new ReleaseError(`${path} is not ${name} ${version}: its SHA-256 is ${found}, not ${sha256}`);
    }
  }
  return paths;
}

async function secretKey(): Promise<{ secret: MinisignSecretKey; test: boolean }> {
  const path = Deno.env.get("TIMMY_RELEASE_KEY");
  if (!path) return { secret: TEST_SECRET, test: true };
  const secret = readSecretKey(await Deno.readTextFile(path), Deno.env.get("TIMMY_RELEASE_KEY_PASSWORD") ?? null);
  const [minisign, ecdsa] = [writePublicKey(publicKeyOf(secret)), ecdsaPublicOf(ecdsaSecretOf(secret))];
  const known = RELEASE_KEYS.find((key) => key.minisign === minisign);
  if (known?.ecdsa !== ecdsa) {
    throw new ReleaseError(
      `programs of this source would refuse what this key signs. Put it into lib/release/release-key.ts and README.md, and commit:\n` +
        JSON.stringify({ name: "release key", minisign, ecdsa, test: false }, null, 2),
    );
  }
  return { secret, test: known.test };
}

async function emptied(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  const foreign = names.find((name) => !OURS.test(name));
  if (foreign !== undefined) {
    throw new ReleaseError(`${folder}/${foreign} is no part of a release: name another folder with --out`);
  }
  for (const name of names) await Deno.remove(`${folder}/${name}`);
}

async function release({ out }: Options): Promise<void> {
  const commit = await commitOf();
  const tools = await toolsOf();
  const key = await secretKey();
  await emptied(out);
  const hashes = new Map<string, string>();
  for (const program of PROGRAMS) {
    for (const arch of ARCHITECTURES) {
      const name = `${program}-${VERSION}-${arch}-linux`;
      const env = {
        DENO: tools.deno,
        DENORT_BIN: tools[`denort-${arch}`],
        TIMMY_PROGRAM: program,
        TIMMY_COMMIT: commit,
      };
      const path = await Deno.realPath(out) + `/${name}`;
      await output("sh", ["scripts/compile.sh", path, "--target", `${arch}-unknown-linux-gnu`], env);
      hashes.set(name, await hashOf(path));
    }
  }
  const source = {
    version: VERSION,
    commit,
    lock: await Deno.readTextFile("deno.lock"),
    tools: TOOLS,
    command: COMMAND,
  };
  const papers = papersOf(hashes, source, key);
  for (const [name, text] of papers) await Deno.writeTextFile(`${out}/${name}`, text);

  const taken = key.test ? [...RELEASE_KEYS, TEST_KEY] : RELEASE_KEYS;
  const { key: by, also } = await checkRelease(placeOf(out), taken, null);
  console.log(papers.get(SUMS)!.trimEnd());
  console.log(
    `${out}: timmy ${VERSION}, commit ${commit}, signed by the ${by.name} ${by.minisign}; checked: ${also.join(", ")}`,
  );
}

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (!options) {
    console.error("usage: deno task release [--out FOLDER]");
    return 2;
  }
  try {
    await release(options);
    return 0;
  } catch (error) {
    if (![ReleaseError, SecretKeyError, Refused].some((kind) => error instanceof kind)) throw error;
    console.error(`release: ${(error as Error).message}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
