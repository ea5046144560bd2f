/** scripts/bitcoin-ln-node as text: it runs on macOS' bash 3.2, and shellcheck finds nothing. */
import assert from "node:assert/strict";
import { SCRIPTS, shell } from "./box.ts";

const STANDINS = new URL("standins", import.meta.url).pathname;

/** What bash 3.2 does not know, or understands otherwise. */
const NEWER: readonly [string, RegExp][] = [
  ["associative arrays", /\b(?:declare|local|typeset)\s+-[a-z]*[Agn]\b/],
  ["changing case", /\$\{[!\w@*[\]]+(?:\^|,)/],
  ["mapfile", /\b(?:mapfile|readarray)\b/],
  ["&>>", /&>>/],
  ["|&", /\|&/],
  ["read -i", /\bread\s+(?:-\w+\s+)*-[a-z]*i\b/],
  ["wait -n", /\bwait\s+-[a-z]*n\b/],
  ["printf %(time)T", /printf[^\n]*%\([^)]*\)T/],
  ["${x@Q}", /\$\{\w+@[A-Za-z]\}/],
  ["negative substring or index", /\$\{\w+\[-\d+\]\}|\$\{\w+:\s*-?\d+:\s*-\d+\}/],
  ["coproc", /^\s*coproc\b/m],
  [";;& or ;&", /;;?&/],
  ["{fd}> redirection", /\{\w+\}[<>]/],
  ["[[ -v", /\[\[\s+-v\b/],
  ["$EPOCHSECONDS, $BASHPID", /\$\{?(?:EPOCHSECONDS|EPOCHREALTIME|BASHPID|SRANDOM)\b/],
  // Its parser takes the parenthesis after the first pattern for the end of the substitution.
  ["case in $(…)", /\$\([^()]*\bcase\s/],
  ["**", /shopt\s+-s\s+globstar/],
  ["inherit_errexit, lastpipe", /shopt\s+-s\s+(?:inherit_errexit|lastpipe)/],
];
/** Programs that a Mac does not have, or whose options differ there. */
const NOT_ON_A_MAC: readonly [string, RegExp][] = [
  ["sed -i", /\bsed\s+-i\b/],
  ["readlink -f", /\breadlink\s+-f\b/],
  ["realpath", /\brealpath\b/],
  ["date -d", /\bdate\s+-d\b/],
  ["grep -P", /\bgrep\s+-[a-zA-Z]*P/],
  ["timeout, flock, setsid", /(?:^|[;&|(]\s*)(?:timeout|flock|setsid)\s/m],
  ["base64 -w", /\bbase64\s+-w/],
  ["stat", /\bstat\s+-/],
  ["mktemp --", /\bmktemp\s+--/],
];
const without = (text: string): string => text.replace(/^\s*#.*$/gm, "");
const wrong = (text: string): string[] =>
  [...NEWER, ...NOT_ON_A_MAC].filter(([, pattern]) => pattern.test(without(text))).map(([name]) => name);

const sources = (await Array.fromAsync(Deno.readDir(SCRIPTS))).map(({ name }) => name).filter((name) =>
  !name.endsWith(".txt")
).sort();

Deno.test("node scripts: nothing in them is newer than bash 3.2 or unknown to a Mac", async () => {
  assert.deepEqual(sources, [
    "expose",
    "get-lnbits-key",
    "lib.sh",
    "lncli",
    "programs.sh",
    "run",
    "services.sh",
    "setup",
    "start",
    "status",
    "stop",
    "tunnels.sh",
    "uninstall",
    "versions.sh",
  ]);
  for (const name of sources) {
    const source = await Deno.readTextFile(`${SCRIPTS}/${name}`);
    assert.deepEqual(wrong(source), [], name);
    if (!name.endsWith(".sh")) {
      assert.match(source, /^#!\/usr\/bin\/env bash\n/, name);
      assert.match(source, /^set -euo pipefail$/m, name);
      assert.ok(((await Deno.stat(`${SCRIPTS}/${name}`)).mode ?? 0) & 0o100, `${name} can be run`);
    }
  }
});

Deno.test("node scripts: each thing that is newer than bash 3.2 is found, and what is older is not", () => {
  const newer = [
    "declare -A names",
    "local -n other=$1",
    "echo ${name^^}",
    "echo ${name,,}",
    "mapfile -t lines",
    "run &>>log",
    "run |& tee",
    "read -r -i x y",
    "wait -n",
    "printf '%(%s)T' -1",
    "echo ${x@Q}",
    "echo ${list[-1]}",
    "coproc cat",
    "a) x ;;& b",
    "exec {fd}>log",
    "[[ -v x ]]",
    'x=$(case "$1" in a) echo b ;; esac)',
    "echo $EPOCHSECONDS",
    "shopt -s globstar",
    "shopt -s lastpipe",
    "sed -i s/a/b/ f",
    "readlink -f x",
    "realpath x",
    "date -d now",
    "grep -oP x",
    "timeout 5 x",
    "base64 -w0",
    "stat -c %a x",
    "mktemp --suffix=x",
  ];
  for (const line of newer) assert.equal(wrong(line).length, 1, line);
  const older = [
    "local -r a=1",
    "echo ${name%%,*}",
    'x="${x:-}"',
    "run >>log 2>&1",
    "a | b & c",
    "read -r -d '' x",
    "wait $pid",
    "printf '%s' x",
    "echo ${#x}",
    "case a) b ;; esac",
    "# mapfile",
    "a && b; c",
  ];
  for (const line of older) assert.deepEqual(wrong(line), [], line);
});

const shellcheck = (await shell("command -v shellcheck")).code === 0;
// deno-lint-ignore no-console -- what is skipped is said
if (!shellcheck) console.warn("node scripts: shellcheck is not installed, so it is skipped");
Deno.test({
  name: "node scripts: shellcheck finds nothing in them, nor in their stand-ins",
  ignore: !shellcheck,
  fn: async () => {
    const ours = sources.map((name) => `'${SCRIPTS}/${name}'`);
    // Two at a time: it takes seconds for a thousand lines.
    const results = await Promise.all([
      ...[0, 1].map((half) =>
        shell(`shellcheck -x -P '${SCRIPTS}' ${ours.filter((_, i) => i % 2 === half).join(" ")}`)
      ),
      shell(`cd '${STANDINS}' && shellcheck -x -P SCRIPTDIR -e SC1090,SC1091,SC2154 bin/* regtest/*`),
    ]);
    for (const { code, out } of results) assert.equal(code, 0, out);
  },
});
