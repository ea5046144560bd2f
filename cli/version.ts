import { RELEASE_KEYS } from "@/lib/release/release-key.ts";
import { COMMIT, VERSION } from "../version.ts";
import { type Command, EXIT, flagsOf } from "./command.ts";

/** What a program says of itself. It cannot vouch for itself: whoever changes it changes what it says. */
export const buildInfo = () => ({
  version: VERSION,
  commit: COMMIT,
  deno: Deno.version.deno,
  arch: Deno.build.arch,
  signature: "unknown",
  releaseKeys: RELEASE_KEYS.map(({ name, minisign, test }) => ({ name, minisign, test })),
});

/** The same for a person. */
export const versionText = (program: string): string => {
  const { version, commit, deno, arch } = buildInfo();
  const keys = RELEASE_KEYS.map(({ name, minisign }) => `${name} ${minisign}`).join(", ");
  return `${program} ${version}, commit ${commit}, Deno ${deno}, ${arch}\nreleases are signed by the ${keys}`;
};

export const command: Command = {
  usage: "[--json]",
  help: `With --json: version, commit, the Deno it was made with, and the keys whose releases it takes.
"signature" is always unknown here, since a program cannot vouch for itself: \`timmyctl verify\` says it of a file.`,
  run(args, io) {
    const given = flagsOf(args, ["--json"]);
    if (!given || given.rest.length > 0) return Promise.resolve(EXIT.usage);
    io.out(given.flags.has("--json") ? JSON.stringify(buildInfo()) : versionText("timmyctl"));
    return Promise.resolve(EXIT.ok);
  },
};
