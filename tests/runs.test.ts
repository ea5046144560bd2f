/** Where the program runs: what the unit, the Dockerfile, launchd's file and docs/operations/running.md say is what the program takes. */
import assert from "node:assert/strict";
import { ENV_NAMES, parseEnv } from "../env.ts";

const root = new URL("../", import.meta.url).pathname;
const read = (path: string) => Deno.readTextFileSync(root + path);
const unit = read("scripts/systemd/timmy.service");
const dockerfile = read("Dockerfile");
const plist = read("scripts/launchd/timmy.plist");
const guide = read("docs/operations/running.md");

/** All values of a unit's directive, in its order; the last one counts where only one can. */
const directive = (text: string, name: string): string[] =>
  [...text.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value = ""]) => value);
const settingsIn = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/\b([A-Z][A-Z0-9_]+)=(\S+)/g)].map(([, name = "", value = ""]) => [name, value]),
  );
const unitSettings = settingsIn(directive(unit, "Environment").join(" "));
const imageSettings = settingsIn(/^ENV (.*)$/m.exec(dockerfile)?.[1] ?? "");
/** Folders that the compiled program may write in. */
const folders = /^TIMMY_FOLDERS=(.*)$/m.exec(read("scripts/permissions.sh"))![1]!.split(",");
const shellBlocks = (text: string): string[] =>
  [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].map(([, it = ""]) => it);

/** Names of settings in a text that the program does not know; those of other programs are given. */
const unknownSettings = (text: string, others: readonly string[] = []): string[] =>
  Object.keys(settingsIn(text)).filter((name) => !ENV_NAMES.includes(name) && !others.includes(name));

/** How long the program may take to stop (s), as its own constants say. */
function graceSeconds(): number {
  const ms = [...read("index.ts").matchAll(/^const (?:STOP_GRACE|DRAIN)_MS = ([\d_]+);$/gm)].map(([, it = ""]) =>
    Number(it.replaceAll("_", ""))
  );
  assert.equal(ms.length, 2);
  return ms.reduce((sum, it) => sum + it) / 1_000;
}

Deno.test("unit, image, guide: every setting that they name is one of the program's", () => {
  assert.deepEqual(Object.keys(unitSettings), ["NODE_ENV", "HOST", "PORT", "DATA_DIR"]);
  assert.deepEqual(Object.keys(imageSettings), ["HOST", "PORT", "DATA_DIR"]);
  assert.deepEqual(unknownSettings(JSON.stringify({ ...unitSettings, ...imageSettings })), []);
  const others = ["TIMMY_COMMIT", "BASE", "NAME"];
  assert.deepEqual(unknownSettings(guide, others), []);
  assert.deepEqual(unknownSettings("LNBITS_KEY=1 `DATA_FOLDER=x` PORT=1\nNODEENV=x"), [
    "LNBITS_KEY",
    "DATA_FOLDER",
    "NODEENV",
  ]);
});

Deno.test("unit, image: their data lies where the compiled program may write, and the place exists and is its own", () => {
  for (const { DATA_DIR } of [unitSettings, imageSettings]) {
    assert.ok(folders.includes(DATA_DIR!), `${DATA_DIR} of ${folders}`);
  }
  assert.equal(unitSettings.DATA_DIR, `/var/lib/${directive(unit, "StateDirectory")[0]}`);
  assert.match(dockerfile, /^VOLUME \/data$/m);
  const [, uid] = /^USER (\d+):\d+$/m.exec(dockerfile) ?? [];
  assert.ok(Number(uid) > 0, "the image runs as root, or as a user that only a name says");
  assert.ok(dockerfile.includes(`--chown=${uid}:${uid} /empty /data`), "the volume is not the user's");
  // The Mac's command goes to its folder first, and the default is below that.
  assert.ok(folders.includes(parseEnv({}).dataDir));
});

Deno.test("unit, guide, plist: who stops the program waits longer than the program takes", () => {
  const waits = {
    systemd: directive(unit, "TimeoutStopSec")[0],
    docker: /--stop-timeout (\d+)/.exec(guide)?.[1],
    launchd: /<key>ExitTimeOut<\/key><integer>(\d+)</.exec(plist)?.[1],
  };
  for (const [who, seconds] of Object.entries(waits)) {
    assert.ok(
      Number(seconds) >= 2 * graceSeconds(),
      `${who} waits ${seconds} s, the program takes ${graceSeconds()} s`,
    );
  }
  assert.ok(guide.includes(`${graceSeconds()} seconds`), "the guide says another time");
});

Deno.test("unit: production unless the file of settings says otherwise, and a simulated wallet does not start like that", () => {
  assert.throws(() => parseEnv(unitSettings), /LNBITS_URL/);
  assert.equal(parseEnv({ ...unitSettings, NODE_ENV: "development" }).host, "127.0.0.1");
  assert.deepEqual(directive(unit, "EnvironmentFile"), ["/etc/timmy/timmy.env"]);
  assert.ok(guide.includes("install -m 0600 /dev/null /etc/timmy/timmy.env"), "others could read the settings");
  assert.ok(!/KEY|TOKEN|SECRET/.test(JSON.stringify(unitSettings)), "everybody may read a unit");
});

Deno.test("unit: it is as closed as V8 allows, and starts the program that the guide installs", () => {
  for (
    const line of [
      "DynamicUser=yes",
      "ProtectSystem=strict",
      "NoNewPrivileges=yes",
      "CapabilityBoundingSet=",
      "LimitCORE=0",
      "SystemCallFilter=@system-service @pkey",
      "SystemCallErrorNumber=EPERM",
      "MemoryDenyWriteExecute=no",
      "Restart=on-failure",
      "StartLimitIntervalSec=0",
    ]
  ) {
    assert.ok(unit.split("\n").includes(line), line);
  }
  const [program] = directive(unit, "ExecStart");
  assert.ok(guide.includes(`install -m 0755 timmy ${program}\n`));
  assert.ok(
    guide.includes(`-p StateDirectory=timmy -p UMask=${directive(unit, "UMask")[0]} `),
    "the audit would leave files others read",
  );
});

Deno.test("image: pinned by digest, made of a named commit, with a health check and a command that the program has", () => {
  const bases = [...dockerfile.matchAll(/^ARG \w*BASE=(\S+)$/gm)].map(([, it = ""]) => it);
  assert.equal(bases.length, 2);
  for (const base of bases) assert.match(base, /:[\w.-]+@sha256:[0-9a-f]{64}$/);
  // The version that builds is the one of CI, whose tests have passed.
  const [, version] = /^DENO_VERSION=(.*)$/m.exec(read(".ci/run"))!;
  assert.ok(bases[0]!.startsWith(`denoland/deno:${version}@`), `${bases[0]}`);
  assert.match(dockerfile, /^ARG TIMMY_COMMIT$/m);
  assert.ok(guide.includes('--build-arg TIMMY_COMMIT="$(git rev-parse HEAD)"'));
  assert.match(dockerfile, /^HEALTHCHECK .* CMD \["\/timmy", "health"\]$/m);
});

Deno.test("guide: in Docker nothing but the data can be written, and the port is this machine's alone", () => {
  const run = shellBlocks(guide).find((block) => block.includes("docker run")) ?? "";
  for (const flag of ["--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "-v timmy-data:/data"]) {
    assert.ok(run.includes(flag), flag);
  }
  assert.ok(run.includes(`-p 127.0.0.1:8080:${imageSettings.PORT} `));
});

Deno.test("guide: its settings for a real instance start it, and its commands are shell", async () => {
  const commands = shellBlocks(guide);
  const real = settingsIn(/^```ini\n([\s\S]*?)^```$/m.exec(guide)?.[1] ?? "");
  const env = parseEnv({ ...unitSettings, ...real });
  assert.deepEqual([env.devRoutes, env.lightning.kind], ["off", "lnbits"]);
  assert.ok(commands.length >= 10, `only ${commands.length} blocks`);
  for (const block of commands) {
    const { code, stderr } = await new Deno.Command("sh", { args: ["-n", "-c", block] }).output();
    assert.equal(code, 0, `${block}\n${new TextDecoder().decode(stderr)}`);
  }
});

Deno.test("plist: its command reads the settings in the user's folder and becomes the program, and both stay the user's", async () => {
  const [, command = ""] = /<string>(cd [^<]*)<\/string>/.exec(plist) ?? [];
  const script = command.replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  const home = await Deno.makeTempDir({ prefix: "timmy home " });
  try {
    const run = () =>
      new Deno.Command("sh", { args: ["-c", script], clearEnv: true, env: { PATH: "/usr/bin:/bin", HOME: home } })
        .output();
    assert.notEqual((await run()).code, 0, "without its folder it fails, so launchd starts it again");
    await Deno.mkdir(`${home}/timmy`);
    await Deno.writeTextFile(`${home}/timmy/timmy`, '#!/bin/sh\necho "$NODE_ENV in $PWD"\nexit 7\n', { mode: 0o700 });
    await Deno.writeTextFile(`${home}/timmy/timmy.env`, "NODE_ENV=development\n");
    assert.equal((await run()).code, 7, "the program's exit code is lost");
    assert.equal(await Deno.readTextFile(`${home}/timmy/timmy.log`), `development in ${home}/timmy\n`);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
  assert.match(plist, /<key>Umask<\/key><integer>63<\/integer>/); // 0077
  assert.match(plist, /<key>KeepAlive<\/key>\s*<dict><key>SuccessfulExit<\/key><false\/><\/dict>/);
});
