/** What must be seen of the program where it runs; `runs.ts` calls these, the first two in a network namespace with loopback only. */
import { Boot, retry, say, sh } from "./machine.ts";
import { beginJob, finishJob, untilReady } from "./runs-job.ts";

const REPOSITORY = new URL("..", import.meta.url).pathname;
const URL_8080 = "http://127.0.0.1:8080";
/** A secret of no use, to be looked for where it must not be. */
const CANARY = "ca9a54".repeat(11);
/** Nothing outside is asked for the price of a bitcoin. */
const NO_PRICES = ["BTC_PRICE_URL", "BTC_PRICE_SECOND_URL", "BTC_PRICE_THIRD_URL"].map((name) =>
  `${name}=http://127.0.0.1:9/`
);

function check(held: boolean, what: string, seen = ""): void {
  if (!held) throw new Error(`not so: ${what}${seen === "" ? "" : `\n${seen}`}`);
  say(`ok: ${what}`);
}

const allOk = (audit: string) => audit.split("\n").every((line) => line.startsWith("ok "));

/** The commands of a section of docs/operations/running.md that say that they are tried here. */
async function commandsOf(section: string): Promise<string[]> {
  const text = await Deno.readTextFile(`${REPOSITORY}docs/operations/running.md`);
  const [, body = ""] = new RegExp(`^## ${section}\\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`, "m").exec(text) ?? [];
  const blocks = [...body.matchAll(/<!-- deno task runs tries this -->\n *```sh\n([\s\S]*?)\n *```/g)];
  if (blocks.length === 0) throw new Error(`docs/operations/running.md has no commands to try under "${section}"`);
  return blocks.map(([, block = ""]) => block);
}

/** The documented installation on a Debian booted from nothing, then what can happen to a server. */
export async function systemdTrial(work: string): Promise<void> {
  const root = `${work}/root`;
  const unit = `${REPOSITORY}scripts/systemd/timmy.service`;
  const score = await sh(`systemd-analyze security --offline=true --threshold=20 "$U" | tail -n 1`, { U: unit });
  check(true, score.replace(/^\W+/, ""));
  await sh(
    `mkdir -p "$R/root/timmy/scripts/systemd" "$R/var/log/journal"
    cp "$W/timmy" "$R/root/timmy/timmy"
    cp "$U" "$R/root/timmy/scripts/systemd/"
    systemctl --root="$R" mask -q cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service`,
    { R: root, W: work, U: unit },
  );
  const machine = new Boot(root, [], `${work}/console.log`, `${work.split("/").at(-2)}-1`);
  try {
    await retry(30, async () => /running|degraded/.test(await machine.inside("systemctl is-system-running || true")));
    const [install = "", start = "", ready = "", audit = ""] = await commandsOf("A server \\(systemd\\)");
    await machine.inside(`cd /root/timmy\n${install}`);
    await machine.inside(
      `printf '%s\\n' NODE_ENV=development TIMMY_TOKEN_SECRET=${CANARY} ${NO_PRICES.join(" ")} >>/etc/timmy/timmy.env`,
    );
    await machine.inside(start);
    check(
      (await machine.inside(ready)).includes('"ready":true'),
      "installed as the document says, it starts and is ready",
    );
    const status = await machine.inside(`cat "/proc/$(systemctl show -p MainPID --value timmy)/status"`);
    check(
      !/^Uid:\s+0\s/m.test(status) && /^NoNewPrivs:\s+1$/m.test(status) && /^Seccomp:\s+2$/m.test(status) &&
        /^CapEff:\s+0+$/m.test(status),
      "a user of its own, no capability, a filter of system calls",
      status,
    );
    const shown = await machine.inside("systemctl show timmy; stat -c %a /etc/timmy/timmy.env");
    check(
      !shown.includes(CANARY) && shown.endsWith("\n600"),
      "secrets are in a file of root's, and systemd shows none",
    );
    const listening = await sh("ss -Htln | awk '{ print $4 }' | sort -u");
    check(listening === "127.0.0.1:8080", "it listens on loopback alone", listening);
    await finishJob(URL_8080, await beginJob(URL_8080, 0, 20), 20);
    check(true, "a paid job, and its refund");

    const stopped = await beginJob(URL_8080, 1_500, 20);
    const ended = await machine.inside(
      "systemctl stop timmy && systemctl show -p Result,ExecMainCode,ExecMainStatus timmy",
    );
    check(
      ["Result=success", "ExecMainCode=1", "ExecMainStatus=0"].every((line) => ended.includes(line)),
      "SIGTERM in the middle of a job: it ends with exit code 0",
      ended,
    );
    await machine.inside("systemctl start timmy");
    await untilReady(URL_8080, 30);
    await finishJob(URL_8080, stopped, 20);
    check(true, "and the job is answered and refunded after the next start");

    const killed = await beginJob(URL_8080, 1_500, 20);
    await machine.inside("systemctl kill --signal=KILL timmy");
    await retry(20, async () => (await machine.inside("systemctl show -p NRestarts --value timmy")) === "1");
    await untilReady(URL_8080, 30);
    await finishJob(URL_8080, killed, 20);
    check(true, "SIGKILL in the middle of a job: started again by systemd, and the job is answered and refunded");
    const books = await machine.inside(audit);
    check(allOk(books), "the documented audit: every line is ok", books);
    await machine.powerOff();
  } catch (error) {
    say(
      await sh(`journalctl -q -D "$R/var/log/journal" -n 40 -o cat || true; tail -n 20 "$L"`, {
        R: root,
        L: `${work}/console.log`,
      }),
    );
    await machine.cut().catch(() => {}); // it may have gone already
    throw error;
  }
}

/** The image with its own user, settings and command, nothing but /data to write in, not even /tmp. */
export async function containerTrial(work: string): Promise<void> {
  const image = JSON.parse(await Deno.readTextFile(`${work}/image.json`));
  const health: string[] = image.Healthcheck?.Test ?? [];
  check(health[0] === "CMD", "the image has a health check", JSON.stringify(image));
  const [uid = "0"] = image.User.split(":");
  check(Number(uid) > 0, `its user is ${image.User}`);
  // The container's starter looks the user up with getent, which such an image lacks.
  await sh(`mkdir -p "$W/data" && chown "$U" "$W/data" && : >"$W/image/usr/bin/getent"`, { W: work, U: image.User });
  const settings: string[] = [...image.Env, "NODE_ENV=development", ...NO_PRICES];
  const log = `${work}/console.log`;
  const process = new Deno.Command("bash", {
    args: [
      "-c",
      `exec systemd-nspawn "$@" >"$L" 2>&1`,
      "bash",
      "-q",
      "--register=no",
      "--keep-unit",
      "--link-journal=no",
      "--console=pipe",
      "--read-only",
      `--user=${uid}`,
      "--bind-ro=/usr/bin/getent",
      `--bind=${work}/data:/data`,
      ...settings.map((it) => `--setenv=${it}`),
      "-D",
      `${work}/image`,
      ...image.Entrypoint,
    ],
    env: { L: log, SYSTEMD_NSPAWN_TMPFS_TMP: "0" },
    stdin: "null",
  }).spawn();
  try {
    await untilReady(URL_8080, 30);
    const leader = await sh(`pgrep -P ${process.pid} | head -n 1`);
    const seen = await sh(`cat /proc/${leader}/status /proc/${leader}/mountinfo`);
    check(
      new RegExp(`^Uid:(\\s+${uid}){4}$`, "m").test(seen) && /^CapEff:\s+0+$/m.test(seen),
      "it runs as that user, without a capability",
      seen,
    );
    check(
      /^\d+ \d+ \S+ \S+ \/ ro[, ]/m.test(seen) && !/ \/tmp rw/.test(seen),
      "its root, /tmp too, is read-only",
      seen,
    );
    const inside = (command: string[]) =>
      sh(`env -i "$@"`, {}, [
        ...settings,
        "/usr/bin/nsenter",
        "-t",
        leader,
        "-m",
        "-p",
        "-n",
        "-r",
        "-w",
        "-S",
        uid,
        "-G",
        uid,
        ...command,
      ]);
    check(await inside(health.slice(1)) === "ok", "its health check says ok");
    const id = await beginJob(URL_8080, 0, 20);
    await finishJob(URL_8080, id, 20);
    check(true, "a paid job, and its refund");
    const audit = await inside([...image.Entrypoint, "audit"]);
    check(allOk(audit), "the audit: every line is ok", audit);
    await sh(`kill -TERM ${leader}`);
    check((await process.status).code === 0, "SIGTERM: it ends with exit code 0", await Deno.readTextFile(log));
  } catch (error) {
    say(await Deno.readTextFile(log));
    throw error;
  }
}

/** Starts a program in `folder`, does a paid job with it, and stops it. @param seconds how long a step may take */
async function paidJobWith(
  command: string[],
  env: Record<string, string>,
  folder: string,
  seconds: number,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = String(listener.addr.port);
  listener.close();
  await Deno.writeTextFile(`${folder}/timmy.env`, [`PORT=${port}`, ...NO_PRICES, ""].join("\n"));
  const began = performance.now();
  const child = new Deno.Command("bash", {
    args: ["-c", `set -a; . ./timmy.env; exec "$@" >>console.log 2>&1`, "bash", ...command],
    cwd: folder,
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", ...env },
    stdin: "null",
  }).spawn();
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(url, seconds);
    say(`ok: it is ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await finishJob(url, await beginJob(url, 0, seconds), seconds);
    check(true, "a paid job, and its refund");
    child.kill("SIGTERM");
    const limit = setTimeout(() => child.kill("SIGKILL"), 30_000);
    const { code } = await child.status;
    clearTimeout(limit);
    check(code === 0, "SIGTERM: it ends with exit code 0");
  } catch (error) {
    say((await Deno.readTextFile(`${folder}/console.log`)).slice(-4_000));
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
    throw error;
  }
}

/** The program for a Raspberry Pi, its processor emulated: everything takes a hundred times longer. */
export const piTrial = (work: string, binary: string): Promise<void> =>
  paidJobWith(["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", binary], {}, work, 120);

/** launchd's file, read by a parser that is not ours, and what it would start, started in a home folder of its own. */
export async function macTrial(work: string, binary: string): Promise<void> {
  const plist = JSON.parse(
    await sh(
      `python3 -c 'import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], "rb"))))' "$F"`,
      {
        F: `${REPOSITORY}scripts/launchd/timmy.plist`,
      },
    ),
  );
  check(plist.Label === "timmy" && plist.RunAtLoad === true, "Python's plistlib reads the file for launchd");
  const folder = `${work}/timmy`;
  await Deno.mkdir(folder);
  await Deno.copyFile(binary, `${folder}/timmy`);
  await Deno.chmod(`${folder}/timmy`, 0o755);
  await paidJobWith(plist.ProgramArguments, { HOME: work }, folder, 30);
}
