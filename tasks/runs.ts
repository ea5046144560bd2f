// deno-lint-ignore-file no-console -- a command prints
/**
 * Where the compiled program runs, each tried on this machine: under systemd, in a container, on a Raspberry Pi's processor, on a Mac
 * (its file for launchd; there is no Mac here). What lacks a tool is skipped, and says which.
 *
 *   deno task runs [--only systemd,container,pi,mac] [--binary FILE] [--pi-binary FILE]
 *
 * Without a binary one is made. TIMMY_TOOLS_SRC names the folder of the script `denort`, which brings deno and its base programs.
 * Its last line is like that of `deno test`, so that CI counts what was skipped; exit code 1 when a part failed.
 */
import { parseArgs } from "node:util";
import { makeRoot, onLoopback, say, sh, tidy } from "./machine.ts";
import { buildImage } from "./runs-image.ts";
import { containerTrial, macTrial, piTrial, systemdTrial } from "./runs-trials.ts";

const TOOLS = Deno.env.get("TIMMY_TOOLS_SRC") ?? new URL("../../shared/tools", import.meta.url).pathname;
/** Who cannot make a program has it given. */
const DENORT = `${TOOLS}/denort`;
const LIMIT_MS = 120_000;
const ROOT_TOOLS = ["systemd-nspawn", "unshare", "nsenter", "ip", "ss", "pgrep"];

interface Binaries {
  x86: string;
  pi: string;
}

interface Part {
  needs: string[];
  root?: true;
  /** @param work an empty folder of this part */
  run(work: string, binaries: Binaries): Promise<void>;
}

/** Runs a trial of its name in namespaces of its own. @throws when it ends badly */
async function alone(name: string, work: string): Promise<void> {
  if (await onLoopback(["tasks/runs.ts", "--inside", name, "--work", work], LIMIT_MS) !== 0) {
    throw new Error(`${name} failed`);
  }
}

const PARTS: Record<string, Part> = {
  systemd: {
    needs: [...ROOT_TOOLS, "systemd-analyze", "debootstrap"],
    root: true,
    async run(work, { x86 }) {
      await makeRoot(`${work}/root`);
      await Deno.copyFile(x86, `${work}/timmy`);
      await alone("systemd", work);
    },
  },
  container: {
    needs: [...ROOT_TOOLS, "buildah", "debootstrap", "jq", DENORT],
    root: true,
    async run(work, { x86 }) {
      await makeRoot(`${work}/debian`);
      await buildImage(work, x86, DENORT);
      await alone("container", work);
    },
  },
  pi: {
    needs: ["qemu-aarch64-static", "/usr/aarch64-linux-gnu/lib/libc.so.6"],
    run: (work, { pi }) => piTrial(work, pi),
  },
  mac: { needs: ["python3"], run: (work, { x86 }) => macTrial(work, x86) },
};
const TRIALS: Record<string, (work: string) => Promise<void>> = { systemd: systemdTrial, container: containerTrial };

/** Which of these commands and files are not here. */
async function missing({ needs, root }: Part): Promise<string[]> {
  const lacks = await sh(
    `for it in "$@"; do command -v "$it" >/dev/null || [ -e "$it" ] || echo "$it"; done`,
    {},
    needs,
  );
  return [...lacks.split("\n").filter((it) => it !== ""), ...(root && Deno.uid() !== 0 ? ["root"] : [])];
}

/** The program for an architecture: the given one, or one made here. */
async function binary(given: string | undefined, arch: "x86_64" | "aarch64", work: string): Promise<string> {
  if (given) return await Deno.realPath(given);
  const output = `${work}/timmy-${arch}`;
  const base =
    `export TIMMY_DENORT_ARCH=${arch} && DENO=$("$TOOL" deno) && DENORT_BIN=$("$TOOL" path) && export DENO DENORT_BIN`;
  await sh(
    `if [ -x "$TOOL" ]; then ${base}; else export DENO="$SELF"; fi
    timeout 300 sh scripts/compile.sh "$OUT" --target ${arch}-unknown-linux-gnu`,
    {
      TOOL: DENORT,
      OUT: output,
      SELF: Deno.execPath(),
    },
  );
  say(`a program for ${arch} is made`);
  return output;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      only: { type: "string" },
      binary: { type: "string" },
      "pi-binary": { type: "string" },
      inside: { type: "string" },
      work: { type: "string" },
    },
  });
  if (values.inside !== undefined) {
    await TRIALS[values.inside]!(values.work!);
    return 0;
  }
  const names = values.only?.split(",") ?? Object.keys(PARTS);
  const unknown = names.filter((name) => !(name in PARTS));
  if (unknown.length > 0) throw new Error(`--only takes ${Object.keys(PARTS).join(", ")}, not ${unknown.join(", ")}`);
  const count = { passed: 0, failed: 0, skipped: 0 };
  const work = await Deno.makeTempDir({ prefix: "timmy-runs-" });
  try {
    const made: Partial<Binaries> = {};
    for (const name of names) {
      const part = PARTS[name]!;
      const lacks = await missing(part);
      if (lacks.length > 0) {
        say(`SKIPPED ${name}: it needs ${lacks.join(", ")}`);
        count.skipped++;
        continue;
      }
      try {
        if (name === "pi") made.pi ??= await binary(values["pi-binary"], "aarch64", work);
        else made.x86 ??= await binary(values.binary, "x86_64", work);
        const own = `${work}/${name}`;
        await Deno.mkdir(own);
        await part.run(own, { x86: "", pi: "", ...made });
        say(`PASSED ${name}`);
        count.passed++;
      } catch (error) {
        say(`FAILED ${name}: ${(error as Error).message}`);
        count.failed++;
      }
    }
  } finally {
    await tidy(work);
  }
  const ok = count.failed === 0;
  console.log(`${ok ? "ok" : "FAILED"} | ${count.passed} passed | ${count.failed} failed | ${count.skipped} ignored`);
  return ok ? 0 : 1;
}

if (import.meta.main) {
  Deno.exit(
    await main().catch((error: Error) => {
      console.log(error.message);
      return 1;
    }),
  );
}
