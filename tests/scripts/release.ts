/** Releases of Bitcoin and LND made here, signed by keys made here, and a copy of the scripts that pins them instead of the real ones. */
import { type Box, SCRIPTS, shell } from "./box.ts";

export interface Release {
  /** The folder that a box's curl gets its downloads from. */
  web: string;
  /** A copy of scripts/bitcoin-ln-node whose versions.sh pins these files and keys. */
  scripts: string;
  /** GnuPG's home with the secret keys of `builders`, and of `stranger`, whom nobody pinned. */
  gnupg: string;
}
const ARM = "lnd-linux-arm64-v0.21.3-beta.tar.gz";
export const CORE = "bitcoin-31.1-x86_64-linux-gnu.tar.gz";
const LND = "lnd-linux-amd64-v0.21.3-beta.tar.gz";
export const builders = ["anna", "bela", "cora"];

let made: { folder: string } | undefined;
Deno.test.afterAll(async () => {
  if (!made) return;
  await shell(`gpgconf --homedir '${made.folder}/gnupg' --kill all`);
  await Deno.remove(made.folder, { recursive: true });
});

/** Makes the keys and archives once; each box gets copies that it may spoil. @throws what a command said that failed */
async function make(standins: string): Promise<string> {
  if (made) return made.folder;
  // The path of gpg's socket must be short.
  const folder = await Deno.makeTempDir({ prefix: "rel-" });
  made = { folder };
  const lines = [
    `cd '${folder}'; mkdir -m 700 gnupg; mkdir web bitcoin-31.1 bitcoin-31.1/bin lnd-x`,
    `export GNUPGHOME='${folder}/gnupg'`,
    ...[...builders, "stranger"].map((name) =>
      `gpg --batch --quiet --passphrase '' --quick-gen-key ${name} ed25519 sign never`
    ),
    ...builders.flatMap((
      name,
    ) => [`gpg --batch --export ${name} >web/${name}.gpg`, `cp web/${name}.gpg web/${name}.asc`]),
    `cp '${standins}'/bitcoind '${standins}'/bitcoin-cli bitcoin-31.1/bin; cp '${standins}'/lnd '${standins}'/lncli lnd-x`,
    `tar -czf web/${CORE} bitcoin-31.1; tar -czf web/${LND} lnd-x; cp web/${LND} web/${ARM}`,
    `cd web; sha256sum ${CORE} >SHA256SUMS; sha256sum ${LND} ${ARM} >manifest-v0.21.3-beta.txt`,
    `gpg --batch --quiet --armor --detach-sign ${
      builders.map((name) => `-u ${name}`).join(" ")
    } -o SHA256SUMS.asc SHA256SUMS`,
    ...builders.slice(0, 2).map((name) =>
      `gpg --batch --quiet --detach-sign -u ${name} -o manifest-${name}-v0.21.3-beta.sig manifest-v0.21.3-beta.txt`
    ),
  ];
  const { code, err } = await shell(`set -e; ${lines.join("\n")}`);
  if (code !== 0) throw new Error(err);
  return folder;
}

/** Puts a release before a box and makes it use the copy of the scripts that pins it. */
export async function release(box: Box): Promise<Release> {
  const folder = await make(`${box.root}/programs`);
  const [web, scripts] = [`${box.root}/web`, `${box.root}/timmy/scripts/bitcoin-ln-node`];
  const { code, out, err } = await shell(
    `set -e; cp '${folder}'/web/* '${web}'; mkdir -p '${scripts}'; cp -p '${SCRIPTS}'/* '${scripts}'
     cd '${web}'; sha256sum ${CORE} ${LND} | cut -d' ' -f1
     gpg --homedir '${folder}/gnupg' --batch --with-colons --list-keys | awk -F: '/^fpr/ { print $10 }'`,
  );
  if (code !== 0) throw new Error(err);
  const [core, lnd, ...keys] = out.trim().split("\n");
  const rows = builders.map((name, i) => ["core", name, keys[i], `${name}.gpg`].join("|"));
  const platforms = ["linux-x86_64", "linux-aarch64", "darwin-arm64"];
  const pins = [...platforms.map((platform) => `core|${platform}|${CORE}|${core}`), `lnd|linux-x86_64|${LND}|${lnd}`];
  const versions = await Deno.readTextFile(`${scripts}/versions.sh`);
  await Deno.writeTextFile(
    `${scripts}/versions.sh`,
    `${versions}\npins() { printf '%s\\n' '${pins.join("' '")}'; }\nsigners() { printf '%s\\n' '${
      [...rows, ...rows.map((row) => row.replace("core", "lnd").replace(".gpg", ".asc"))].join("' '")
    }'; }\n`,
  );
  box.scripts = scripts;
  return { web, scripts, gnupg: `${folder}/gnupg` };
}
