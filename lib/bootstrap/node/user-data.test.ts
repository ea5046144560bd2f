/** The user data: its golden file, what other programs say of it, and hostile values in every field. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "yaml";
import { nodeEnv, type NodeOrder, pruneMib } from "./node-order.rules.ts";
import { pinnedImages, PINS } from "./pins.ts";
import { ORDER, SSH_KEY } from "./testing/order.ts";
import { nodeUserData } from "./user-data.ts";

const here = (path: string) => new URL(path, import.meta.url).pathname;
const has = (tool: string) => new Deno.Command("bash", { args: ["-c", `command -v ${tool}`] }).outputSync().success;
const tool = (name: string, needed: string, fn: () => void | Promise<void>) =>
  has(needed)
    ? Deno.test(name, fn)
    : Deno.test({ name: `${name} (NOT RUN: ${needed} is not installed)`, ignore: true, fn });

/** Runs a bash script. @param args are $1, $2, … */
function bash(script: string, ...args: string[]): { code: number; out: string; errors: string } {
  const { code, stdout, stderr } = new Deno.Command("bash", {
    args: ["-c", script, "bash", ...args],
    // Whoever runs the tests may have variables of his own that begin as the node's do.
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
  }).outputSync();
  const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, errors: errors! };
}

const inTemp = async <T>(text: string, use: (path: string) => T): Promise<T> => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, text);
    return use(path);
  } finally {
    await Deno.remove(path);
  }
};

interface CloudConfig {
  users: { ssh_authorized_keys: string[] }[];
  write_files: { path: string; permissions: string; content: string }[];
}
const read = (userData: string): CloudConfig => parse(userData, { version: "1.1" });
const fileOf = (config: CloudConfig, path: string) => config.write_files.find((file) => file.path === path)!;
const SCRIPTS = ["lib.sh", "first-boot.sh", "report.sh", "ops.sh"];
const UNITS = ["timmy-node.service", "timmy-bitcoind.service"];
/** Without a volume and a tailnet, on a disk that holds all blocks. */
const BARE: NodeOrder = { ...ORDER, tailscaleAuthKey: null, volumeName: null, diskGb: 2_000 };

Deno.test("user data: is the golden file's text (deno task first-boot --print writes it)", async () => {
  assert.equal(nodeUserData(ORDER), await Deno.readTextFile(here("testing/user-data.golden")));
});

Deno.test("user data: the scripts and units arrive as they are, and only their environment differs between orders", async () => {
  const config = read(nodeUserData(BARE));
  for (const name of SCRIPTS) {
    assert.equal(fileOf(config, `/opt/timmy-node/${name}`).content, await Deno.readTextFile(here(`files/${name}`)));
  }
  for (const name of UNITS) {
    assert.equal(fileOf(config, `/etc/systemd/system/${name}`).content, await Deno.readTextFile(here(`files/${name}`)));
  }
  const whole = read(nodeUserData(ORDER));
  for (const [at, file] of config.write_files.entries()) {
    assert.equal(file.content === whole.write_files[at]!.content, file.path !== "/opt/timmy-node/node.env", file.path);
  }
});

Deno.test("user data: without volume and tailnet these are empty, and a disk for the whole chain is not pruned", () => {
  const env = fileOf(read(nodeUserData(BARE)), "/opt/timmy-node/node.env");
  assert.equal(env.permissions, "0600");
  for (const line of ["TIMMY_TAILSCALE_AUTH_KEY=''", "TIMMY_VOLUME_NAME=''", "TIMMY_PRUNE_MIB='0'"]) {
    assert.ok(env.content.split("\n").includes(line), line);
  }
});

Deno.test("user data: pruning leaves 40 GB for everything else, and a disk below 60 GB is refused", () => {
  assert.deepEqual([60, 160, 1_199, 1_200].map(pruneMib), [19_073, 114_440, 1_105_308, 0]);
  for (const small of [0, 59, -160, 160.5, NaN, Infinity]) assert.throws(() => pruneMib(small), RangeError);
});

Deno.test("user data: is well below 64 KiB, and one byte more than is taken is refused with its size", () => {
  const bytes = new TextEncoder().encode(nodeUserData(ORDER)).length;
  assert.ok(bytes < 48 * 1024, `${bytes} bytes`);
  assert.equal(nodeUserData(ORDER, PINS, bytes), nodeUserData(ORDER));
  assert.throws(() => nodeUserData(ORDER, PINS, bytes - 1), new RegExp(`^RangeError: .*${bytes} bytes`));
});

Deno.test("pins: every value is a digest or checksum and names two repositories of different owners", () => {
  const owner = (repository: string) => repository.split("/")[0];
  for (const [name, pin] of Object.entries(PINS)) {
    if (pin === null) continue;
    const values = typeof pin.value === "string" ? [pin.value] : Object.values(pin.value);
    for (const value of values) {
      if (typeof value === "string") assert.match(value, /^[a-z0-9/-]+:[\w.-]+@sha256:[0-9a-f]{64}$/, name);
      else assert.ok(/^[0-9a-f]{64}$/.test(value.sha256) && value.url.startsWith("https://"), name);
    }
    assert.notEqual(owner(pin.sources[0].repository), owner(pin.sources[1].repository), name);
    for (const source of pin.sources) assert.match(source.commit, /^[0-9a-f]{40}$/, name);
  }
});

Deno.test("pins: what has none is refused by name", () => {
  assert.throws(() => pinnedImages("knots"), /^RangeError: not pinned: knots/);
  assert.throws(() => nodeUserData({ ...ORDER, implementation: "knots" }), /not pinned: knots/);
  for (const name of ["lnd", "lnbits"] as const) {
    assert.throws(() => pinnedImages("core", { ...PINS, [name]: null }), new RegExp(`not pinned: ${name}`));
    for (
      const other of [
        ORDER.images[name].replace(/.$/, "x"),
        ORDER.images[name].split("@")[0]!,
        "evil/image@sha256:" + "0".repeat(64),
      ]
    ) {
      const images = { ...ORDER.images, [name]: other };
      assert.throws(() => nodeUserData({ ...ORDER, images }), new RegExp(`not pinned: ${other.slice(0, 20)}`));
    }
  }
  for (const architecture of ["x86_64", "aarch64"] as const) {
    for (const change of [{ sha256: "0".repeat(64) }, { url: "https://example.com/bitcoin.tar.gz" }]) {
      const bitcoin = { ...ORDER.images.bitcoin, [architecture]: { ...ORDER.images.bitcoin[architecture], ...change } };
      assert.throws(() => nodeUserData({ ...ORDER, images: { ...ORDER.images, bitcoin } }), /not pinned: https/);
    }
  }
});

const HOSTILE = [
  "'; rm -rf / #",
  "$(reboot)",
  "`reboot`",
  '"',
  "\\",
  "a\nb",
  "a\r\nTIMMY_LND_IMAGE='evil'",
  "\u0000",
  "-n",
  "",
  " ",
  "é漢\u202e\u2028",
  "\ud800",
  "${IFS}",
  "!!",
  "a'b",
  "x: y",
  "- x",
  "#x",
  "{x}",
  "%",
  "~",
  "*",
  "&x",
  "\ttab",
];
type Field = (order: NodeOrder, value: string) => NodeOrder;
const FIELDS: Record<string, Field> = {
  name: (order, name) => ({ ...order, name }),
  sshPublicKey: (order, sshPublicKey) => ({ ...order, sshPublicKey }),
  "comment of sshPublicKey": (order, comment) => ({ ...order, sshPublicKey: `${SSH_KEY} ${comment}` }),
  tailscaleAuthKey: (order, tailscaleAuthKey) => ({ ...order, tailscaleAuthKey }),
  volumeName: (order, volumeName) => ({ ...order, volumeName }),
  "report.url": (order, url) => ({ ...order, report: { ...order.report, url } }),
  "path of report.url": (order, path) => ({
    ...order,
    report: { ...order.report, url: `https://timmy.example/${path}` },
  }),
  "report.token": (order, token) => ({ ...order, report: { ...order.report, token: token.padEnd(22, "a") } }),
  "images.lnd": (order, image) => ({ ...order, images: { ...order.images, lnd: `${image}@sha256:${"0".repeat(64)}` } }),
  "images.lnbits": (order, image) => ({
    ...order,
    images: { ...order.images, lnbits: `${image}@sha256:${"0".repeat(64)}` },
  }),
  "images.bitcoin": (order, word) => ({
    ...order,
    images: {
      ...order.images,
      bitcoin: { ...order.images.bitcoin, x86_64: { url: `https://example.com/${word}`, sha256: "0".repeat(64) } },
    },
  }),
};
/** The order's own images are the pinned ones, so that what is in them reaches the shell. */
const accept = (order: NodeOrder) => {
  const { bitcoin, lnd, lnbits } = order.images;
  const pins = {
    core: { ...PINS.core!, value: bitcoin },
    knots: null,
    lnd: { ...PINS.lnd!, value: lnd },
    lnbits: { ...PINS.lnbits!, value: lnbits },
  };
  return nodeUserData(order, pins);
};
/** What the shell makes of the environment file: each value between two bytes that none of them has. */
const SOURCED = `set -eu; . "$1"; for name in $(compgen -v TIMMY_); do printf '%s=%s\\0' "$name" "\${!name}"; done`;

/** The refusal, or nothing when the value stands in the user data and means itself and nothing else. */
async function refusal(order: NodeOrder): Promise<string | undefined> {
  let text: string;
  try {
    text = accept(order);
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    return error.message;
  }
  const config = read(text);
  assert.equal(text, accept(order));
  assert.deepEqual(config.users[0]!.ssh_authorized_keys, [SSH_KEY]);
  const env = fileOf(config, "/opt/timmy-node/node.env").content;
  assert.equal(env, nodeEnv(order));
  const { code, out, errors } = await inTemp(env, (path) => bash(SOURCED, path));
  assert.deepEqual([code, errors], [0, ""]);
  const values = new Map(
    out.split("\0").filter(Boolean).map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
  assert.deepEqual([...values.keys()].sort(), nodeEnv(ORDER).match(/^TIMMY_\w+/gm)!.sort());
  assert.equal(values.get("TIMMY_NODE_NAME"), order.name);
  assert.equal(values.get("TIMMY_REPORT_URL"), new URL(order.report.url).href);
  assert.equal(values.get("TIMMY_REPORT_TOKEN"), order.report.token);
  assert.equal(values.get("TIMMY_TAILSCALE_AUTH_KEY"), order.tailscaleAuthKey ?? "");
  assert.equal(values.get("TIMMY_VOLUME_NAME"), order.volumeName ?? "");
  assert.equal(values.get("TIMMY_LND_IMAGE"), order.images.lnd);
  return undefined;
}

for (const [field, change] of Object.entries(FIELDS)) {
  Deno.test(`hostile values: ${field} is refused, or means itself`, async () => {
    for (const value of HOSTILE) {
      const words = await refusal(change(ORDER, value));
      if (words === undefined) continue;
      assert.match(words, /must be|at most|not pinned/, value);
      // A token or a key in an error message would end in a log.
      if (value.length > 6 && !field.startsWith("images")) assert.ok(!words.includes(value), words);
    }
  });
}

Deno.test("hostile values: whatever text stands in any field is refused, or means itself", async () => {
  const text = fc.string({ unit: "binary", maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...Object.values(FIELDS)), text, async (change, value) => {
      await refusal(change(ORDER, value));
    }),
    { numRuns: 30 },
  );
});

Deno.test("scripts: bash reads each of them", () => {
  for (const name of SCRIPTS) {
    assert.deepEqual(bash('bash -n "$1"', here(`files/${name}`)), { code: 0, out: "", errors: "" }, name);
  }
});

tool("scripts: shellcheck has nothing to say", "shellcheck", () => {
  const paths = [
    ...SCRIPTS.map((name) => here(`files/${name}`)),
    here("testing/stand-ins/ufw"),
    here("testing/stand-ins/tailscale"),
  ];
  assert.deepEqual(bash('shellcheck "$@"', ...paths), { code: 0, out: "", errors: "" });
});

tool("user data: cloud-init takes it, with and without volume and tailnet", "cloud-init", async () => {
  for (const order of [ORDER, BARE]) {
    const { code, out, errors } = await inTemp(nodeUserData(order), (path) => bash('cloud-init schema -c "$1"', path));
    assert.equal(code, 0, out + errors);
    assert.match(out, /Valid/);
  }
});

// The schema itself takes keys that nobody knows, so a misspelt one would be passed over in silence.
tool(
  "user data: every key at the top and of each file and user is one that cloud-init's schema knows",
  "cloud-init",
  () => {
    const where =
      "from importlib.util import find_spec; import os; print(os.path.dirname(find_spec('cloudinit').origin))";
    const found = bash(`cat "$(/usr/bin/python3 -c "$1")"/config/schemas/schema-cloud-config-v1.json`, where);
    assert.equal(found.code, 0, found.errors);
    const schema: { $defs: Record<string, { properties?: Record<string, unknown> }> } = JSON.parse(found.out);
    const known = new Set(Object.values(schema.$defs).flatMap(({ properties }) => Object.keys(properties ?? {})));
    const config: Record<string, unknown> = parse(nodeUserData(ORDER), { version: "1.1" });
    for (const key of Object.keys(config)) assert.ok(known.has(key), `${key} is no key of cloud-init`);
    assert.ok(!known.has("write_file") && !known.has("hostnames"), "the list takes anything");
    const inner = JSON.stringify(schema);
    const { users, write_files: files } = read(nodeUserData(ORDER));
    for (const key of [...users, ...files].flatMap(Object.keys)) assert.ok(inner.includes(`"${key}":`), key);
  },
);
