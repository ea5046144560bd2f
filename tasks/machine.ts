// deno-lint-ignore-file no-console -- a command prints
/** A machine in a container, for trials: a Debian of its own, booted with systemd, with no network but loopback. */

export const SUITE = "bookworm";
const PACKAGES =
  "systemd systemd-sysv dbus cloud-init openssh-client curl jq openssl gnupg iproute2 python3 e2fsprogs ca-certificates";
export const CACHE = Deno.env.get("TIMMY_TOOLS_DIR") ?? `${Deno.env.get("HOME")}/.cache/timmy-tools`;

const began = performance.now();
export const say = (text: string) =>
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);

/** Runs a bash script, its arguments in `"$@"`. @throws Error with what it printed, unless it ends with 0 */
export async function sh(script: string, env: Record<string, string> = {}, args: string[] = []): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", script, "bash", ...args],
    env,
  }).output();
  const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`exit code ${code} from: ${script}\n${errors}${out}`);
  return out!.trim();
}

/** A Debian with systemd and cloud-init, kept as an archive: made in about a minute, unpacked in seconds. */
export async function makeRoot(root: string): Promise<void> {
  const archive = `${CACHE}/first-boot-${SUITE}-${(await sh(`printf %s "${PACKAGES}" | sha256sum`)).slice(0, 12)}.tar`;
  await sh(
    `
    if [ ! -s "$ARCHIVE" ]; then
      mkdir -p "$(dirname "$ARCHIVE")"
      mirror=$(apt-cache policy | sed -nE 's#^ *[0-9]+ (https?://[^ ]+) ${SUITE}/main .*#\\1#p' | head -n 1)
      debootstrap --variant=minbase --include=ca-certificates ${SUITE} "$ROOT" "$mirror" >&2
      cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
      DEBIAN_FRONTEND=noninteractive chroot "$ROOT" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends ${PACKAGES} && apt-get clean' >&2
      : >"$ROOT/etc/resolv.conf"
      tar --numeric-owner -cf "$ARCHIVE.new" -C "$ROOT" .
      mv "$ARCHIVE.new" "$ARCHIVE"
    else
      mkdir -p "$ROOT"
      tar --numeric-owner -xpf "$ARCHIVE" -C "$ROOT"
    fi`,
    { ROOT: root, ARCHIVE: archive },
  );
}

/** One boot of the container. */
export class Boot {
  readonly #process: Deno.ChildProcess;
  readonly #root: string;

  constructor(root: string, shared: readonly string[], log: string, group: string) {
    this.#root = root;
    const binds = shared.map((folder) => `--bind-ro=${folder}`).join(" ");
    // A control group of its own: two systems that manage the same one take each other's processes for theirs.
    const script = `for all in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [ -e $all/cgroup.procs ]; then mkdir -p "$all/$G" && echo $$ >"$all/$G/cgroup.procs"; fi
      done
      exec systemd-nspawn -q --register=no --keep-unit -b --link-journal=no --console=pipe -D "$R" ${binds} >>"$L" 2>&1`;
    this.#process = new Deno.Command("bash", {
      args: ["-c", script],
      env: { R: root, L: log, G: group },
      stdin: "null",
    }).spawn();
  }

  /** Runs a script inside, as a person who has logged in would. */
  async inside(script: string): Promise<string> {
    return await sh(
      `nsenter -t ${await this
        .#leader()} -m -u -i -p -r -w env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -c "$SCRIPT"`,
      { SCRIPT: script },
    );
  }

  async until(path: string, seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      const there = await Deno.stat(`${this.#root}/${path}`).catch(() => null);
      if (there && there.size > 0) return;
      await new Promise((wake) => setTimeout(wake, 25));
    }
    throw new Error(`after ${seconds} s there is no ${path}`);
  }

  /** As if the power went: its first process ends at once, and every other one in there with it. */
  async cut(): Promise<void> {
    await sh(`kill -KILL ${await this.#leader()}`);
    await this.#process.status;
  }

  #leader(): Promise<string> {
    return sh(`pgrep -P ${this.#process.pid} | head -n 1`);
  }

  async powerOff(): Promise<void> {
    await this.inside("systemctl --no-block poweroff");
    const timer = setTimeout(() => void this.cut(), 60_000);
    await this.#process.status;
    clearTimeout(timer);
  }
}

/**
 * Runs a program of this repository again in namespaces of its own: no network but loopback, and no process that outlives it.
 * @param args the program and its arguments
 * @param limitMs after this long (ms) everything in there is killed
 * @returns its exit code; 137 when it was killed
 */
export async function onLoopback(args: readonly string[], limitMs: number): Promise<number> {
  const permissions = ["--allow-net=127.0.0.1", "--allow-env", "--allow-read", "--allow-write", "--allow-run"];
  const again = [
    Deno.execPath(),
    "run",
    "--config",
    "dev/deno.json",
    "--quiet",
    "--no-prompt",
    ...permissions,
    ...args,
  ];
  const own = ["--net", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const child = new Deno.Command("unshare", {
    args: [...own, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", ...again],
    stdin: "null",
  }).spawn();
  const timer = setTimeout(() => {
    say(`not done after ${limitMs / 1000} s`);
    child.kill("SIGKILL");
  }, limitMs);
  const { code } = await child.status;
  clearTimeout(timer);
  return code;
}

/** Removes a trial's folder, and the control groups that its boots were given. */
export async function tidy(work: string): Promise<void> {
  await sh(
    `for all in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
      for group in "$all/$G"-*; do [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + || true; done
    done
    rm -rf --one-file-system "$W"`,
    { W: work, G: work.split("/").at(-1)! },
  );
}

/** Asks again until it holds. @throws what was last thrown, or an Error, after `seconds` */
export async function retry(seconds: number, held: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const failure = await held().then((yes) => yes ? undefined : new Error("not yet"), (error: Error) => error);
    if (!failure) return;
    if (performance.now() > end) throw failure;
    await new Promise((wake) => setTimeout(wake, 500));
  }
}
