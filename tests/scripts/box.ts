/**
 * A machine of its own for the scripts of scripts/bitcoin-ln-node: a home, a PATH of nothing but common tools and stand-ins (standins/bin)
 * for the service managers, for curl, Bitcoin and LND, and a list of what they were called with. No bitcoind or Mac is needed, and
 * nothing outside the folder is changed.
 */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;
export const SCRIPTS = `${ROOT}scripts/bitcoin-ln-node`;
const STANDINS = new URL("standins/bin/", import.meta.url).pathname;
const TOOLS =
  "bash sh env awk sed grep diff od tr cat mkdir rm mv cp ln ls chmod dirname basename find touch wc head tail sort cmp cut mktemp sha256sum tar gzip openssl id seq";
const PROGRAMS = ["bitcoind", "bitcoin-cli", "lnd", "lncli", "python"];

export interface Result {
  code: number;
  out: string;
  err: string;
}
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Runs a line of shell with the machine's own PATH. */
export async function shell(command: string, env: Record<string, string> = {}): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command("bash", { args: ["-c", command], env, stdin: "null" })
    .output();
  return { code, out: text(stdout), err: text(stderr) };
}

let shared: Promise<string> | undefined;
/** A folder with links to the common tools, and one with gpg alone, which some machines lack. */
const tools = (): Promise<string> =>
  shared ??= (async () => {
    const folder = await Deno.makeTempDir({ prefix: "node-tools-" });
    await shell(
      `cd ${folder}; mkdir tools gpg; for t in ${TOOLS}; do ln -s "$(command -v $t)" tools/$t; done; ln -s "$(command -v gpg)" gpg/gpg`,
    );
    return folder;
  })();
Deno.test.afterAll(async () => {
  if (shared) await Deno.remove(await shared, { recursive: true });
  shared = undefined;
  made.clear();
});

/** A node that is set up, and one that runs too, each made once and copied: `cp -a` keeps times and modes. */
const made = new Set<string>();
let open = false;

/** Tests run one after the other, so every box has the same path: copies of a node need no change. */
export class Box {
  private constructor(readonly root: string, private readonly tools: string, readonly env: Record<string, string>) {}

  /**
   * @param os which service manager and tools there are
   * @param without stand-ins and tools that are missing
   */
  static async open(os: "Linux" | "Darwin" = "Linux", ...without: string[]): Promise<Box> {
    assert.ok(!open, "another box is still open");
    open = true;
    const root = `${await tools()}/box`;
    const box = new Box(root, await tools(), { BOX_OS: os, BOX_ARCH: os === "Linux" ? "x86_64" : "arm64" });
    const missing = new Set([
      ...without,
      ...(os === "Linux" ? ["launchctl", "sw_vers", "brew"] : ["systemctl", "loginctl"]),
      ...["tailscale", "cloudflared", "bore"],
      ...PROGRAMS,
    ]);
    await Deno.mkdir(root);
    for (const folder of ["bin", "home", "programs", "running", "enabled", "loaded", "web"]) {
      await Deno.mkdir(`${root}/${folder}`);
    }
    for await (const { name } of Deno.readDir(STANDINS)) {
      if (!missing.has(name)) await Deno.symlink(STANDINS + name, `${root}/bin/${name}`);
    }
    if (!missing.has("gpg")) await Deno.symlink(`${box.tools}/gpg/gpg`, `${root}/bin/gpg`);
    for (const name of PROGRAMS) await Deno.copyFile(STANDINS + name, `${root}/programs/${name}`);
    await box.write(
      "chain.json",
      '{\n  "chain": "main",\n  "blocks": 800000,\n  "headers": 900000,\n  "verificationprogress": 0.876549,\n  "initialblockdownload": true,\n  "size_on_disk": 12345678901,\n  "pruned": true,\n  "warnings": []\n}\n',
    );
    return box;
  }

  get home(): string {
    return `${this.root}/home`;
  }
  get node(): string {
    return `${this.home}/.timmy-node`;
  }
  /** The options that name programs which are there already. */
  get programs(): string[] {
    return ["bitcoin", "lnd", "lnbits"].flatMap((name) => [`--${name}-bin`, `${this.root}/programs`]);
  }

  async install(name: string): Promise<void> {
    await Deno.symlink(STANDINS + name, `${this.root}/bin/${name}`);
  }
  write(path: string, content: string): Promise<void> {
    return Deno.writeTextFile(`${this.root}/${path}`, content);
  }
  read(path: string): Promise<string> {
    return Deno.readTextFile(`${this.root}/${path}`);
  }
  exists(path: string): Promise<boolean> {
    return Deno.lstat(`${this.root}/${path}`).then(() => true, () => false);
  }
  remove(path: string): Promise<void> {
    return Deno.remove(`${this.root}/${path}`, { recursive: true });
  }

  /** A line of shell on this machine; `~` is its home. */
  shell(line: string, folder = this.root): Promise<Result> {
    const set = Object.entries({
      ...this.env,
      BOX: this.root,
      BOX_GPG: `${this.tools}/gpg/gpg`,
      HOME: this.home,
      TMPDIR: this.root,
      PATH: `${this.root}/bin:${this.tools}/tools`,
    });
    const settings = set.map(([name, value]) => `'${name}=${value}'`).join(" ");
    return shell(`cd '${folder}' && exec env -i ${settings} bash -c "$LINE"`, { LINE: line });
  }
  /** One of the scripts. */
  run(script: string, ...args: string[]): Promise<Result> {
    return this.shell([`${this.scripts}/${script}`, ...args].map((word) => `'${word}'`).join(" "));
  }
  scripts = SCRIPTS;

  /** A script that must succeed: its output. */
  async ok(script: string, ...args: string[]): Promise<string> {
    const { code, out, err } = await this.run(script, ...args);
    assert.equal(code, 0, `${script} ${args.join(" ")}: ${out}${err}`);
    return out;
  }
  /** A script that must refuse, saying `why`, and change nothing in the home. */
  async refuses(why: RegExp, script: string, ...args: string[]): Promise<string> {
    const before = await this.tree();
    const { code, out, err } = await this.run(script, ...args);
    assert.notEqual(code, 0, `${script} ${args.join(" ")} did not refuse: ${out}`);
    assert.match(err, why);
    assert.deepEqual(await this.tree(), before);
    return err;
  }
  /** A node that is set up, or one that runs too. */
  async ready(started = true): Promise<void> {
    const copy = `${this.root}-${started ? "running" : "set-up"}`;
    if (!made.has(copy)) {
      await this.ok("setup", ...this.programs);
      if (started) await this.ok("start");
      await this.forget();
      await shell(`cp -a '${this.root}' '${copy}'`);
      made.add(copy);
    } else await shell(`rm -rf '${this.root}' && cp -a '${copy}' '${this.root}'`);
  }

  /** What the stand-ins were called with since the last `forget`. */
  async calls(): Promise<string[]> {
    return (await this.read("calls").catch(() => "")).split("\n").filter((line) => line !== "");
  }
  async forget(): Promise<void> {
    await this.write("calls", "");
  }

  /** Everything below the home: mode, and content or where a link leads, by path. */
  async tree(folder = ""): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(`${this.home}/${folder}`)) {
      const path = `${folder}${name}`;
      const { mode, mtime } = await Deno.lstat(`${this.home}/${path}`);
      const rights = ((mode ?? 0) & 0o777).toString(8);
      if (isDirectory) Object.assign(found, { [`${path}/`]: rights }, await this.tree(`${path}/`));
      else if (isSymlink) found[path] = await Deno.readLink(`${this.home}/${path}`);
      else found[path] = `${rights} ${mtime?.getTime()} ${await Deno.readTextFile(`${this.home}/${path}`)}`;
    }
    return found;
  }
  async rights(path: string): Promise<string> {
    return (((await Deno.stat(`${this.node}/${path}`)).mode ?? 0) & 0o777).toString(8);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
    open = false;
  }
}
