/** A root of its own for the node's scripts, with stand-ins before every other command, so that each script can be watched alone. */
import { nodeEnv, type NodeOrder } from "../node-order.rules.ts";
import { ORDER } from "./order.ts";

const FILES = new URL("../files/", import.meta.url);

/**
 * Answers by method and path from the folder `answers`: `GET_v1_state` holds the body; beside it `GET_v1_state.refused` the number of
 * times that the server is not there yet. What was sent is written down in `calls`, a line for each, with the body after it.
 */
const CURL = `
method=GET url='' body=false out=''
while [ $# -gt 0 ]; do
  case "$1" in
    -X) method=$2; shift ;;
    --data) body=$2; [ "$method" != GET ] || method=POST; shift ;;
    --data-binary) body=@; [ "$method" != GET ] || method=POST; case "$2" in @-) ;; @*) cp "\${2#@}" "$STAND_INS/sent-body" ;; esac; shift ;;
    -H) case "$2" in @*) cat "\${2#@}" >>"$STAND_INS/headers" ;; esac; shift ;;
    --output|-o) out=$2; shift ;;
    http*) url=$1 ;;
  esac
  shift
done
path=\${url#*://*/}; path=\${path%%\\?*}
name="$method"_$(printf %s "$path" | tr / _)
case "$body" in false) sent='' ;; @) sent=$(cat) ;; *) sent=$body; name=RPC_$(printf %s "$body" | jq -r .method) ;; esac
printf '%s %s\\n' "$name" "$sent" >>"$STAND_INS/calls"
file="$STAND_INS/answers/$name"
left=$(cat "$file.refused" 2>/dev/null || echo 0)
if [ "$left" -gt 0 ]; then echo $((left - 1)) >"$file.refused"; exit 7; fi
[ -e "$file" ] || exit 22
if [ -e "$file.status" ]; then head -n 1 "$file.status"; sed -i '1{h;d};\${p;x}' "$file.status"; fi
if [ -n "$out" ]; then cp "$file" "$out"; else cat "$file"; fi
`;

/** Each writes down how it was called. */
const ALWAYS = {
  curl: CURL,
  docker: `case "$1 $2" in
    "inspect -f") cat "$STAND_INS/docker-$4" 2>/dev/null || exit 1 ;;
    "image inspect") exit 1 ;;
    "run --detach") for word in "$@"; do case "$word" in type=bind,*) src=\${word#*src=}; [ -e "\${src%%,*}" ] || exit 125; esac; done ;;
  esac`,
  systemctl: `case "$1" in is-active) echo active ;; esac`,
  journalctl: "echo a line of the journal",
  tailscale:
    `case "$1" in status) if [ -e "$STAND_INS/joined" ]; then echo '{"Self":{"DNSName":"node.tail1.ts.net."}}'; else echo '{"Self":{"DNSName":""}}'; fi ;; up) touch "$STAND_INS/joined" ;; esac`,
  ufw: "",
  "apt-get": "",
  useradd: "",
  chown: "",
  id: "exit 1",
};

const missing = ["jq", "curl", "openssl", "ssh-keygen"].filter((tool) =>
  !new Deno.Command("bash", { args: ["-c", `command -v ${tool}`] }).outputSync().success
);

/** A test of the node's scripts, which call these programs; without one of them it is not run, and its name says so. */
export function scriptTest(name: string, fn: () => Promise<void>): void {
  if (missing.length === 0) Deno.test(name, fn);
  else Deno.test({ name: `${name} (NOT RUN: ${missing.join(", ")} not installed)`, ignore: true, fn });
}

export interface Ran {
  code: number;
  out: string;
  errors: string;
}

export class TemporaryRoot implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(
    order: NodeOrder = { ...ORDER, tailscaleAuthKey: null, volumeName: null },
  ): Promise<TemporaryRoot> {
    const root = new TemporaryRoot(await Deno.realPath(await Deno.makeTempDir({ prefix: "timmy-root-" })));
    const folders = [
      "opt/timmy-node",
      "var/lib/timmy-node/secrets",
      "var/lib/timmy-node/steps",
      "srv/timmy-node",
      "etc/ssh",
      "root",
      "proc",
      "stand-ins/bin",
      "stand-ins/answers",
    ];
    for (const folder of folders) await Deno.mkdir(`${root.path}/${folder}`, { recursive: true });
    for (const name of ["lib.sh", "first-boot.sh", "report.sh", "ops.sh"]) {
      await Deno.copyFile(new URL(name, FILES), `${root.path}/opt/timmy-node/${name}`);
    }
    await root.write("opt/timmy-node/node.env", nodeEnv(order));
    await root.write("etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n");
    await root.write("proc/meminfo", "MemTotal:        8148964 kB\n");
    await root.write("stand-ins/calls", "");
    for (const [name, body] of Object.entries(ALWAYS)) await root.standIn(name, body);
    return root;
  }

  /** A command that writes its call down and then does this. */
  async standIn(name: string, body: string): Promise<void> {
    const noted = name === "curl" ? "" : `echo "${name} $*" >>"$STAND_INS/calls"\n`;
    await this.write(`stand-ins/bin/${name}`, `#!/usr/bin/env bash\n${noted}${body}\n`);
    await Deno.chmod(`${this.path}/stand-ins/bin/${name}`, 0o755);
  }

  /** What a server answers. @param refused how often it is not there before that */
  async answer(name: string, body: unknown, refused = 0): Promise<void> {
    const file = `stand-ins/answers/${name}`;
    await this.write(file, typeof body === "string" ? body : JSON.stringify(body));
    await this.write(`${file}.refused`, String(refused));
  }

  async write(path: string, text: string): Promise<void> {
    await Deno.writeTextFile(`${this.path}/${path}`, text);
  }

  async read(path: string): Promise<string> {
    return await Deno.readTextFile(`${this.path}/${path}`);
  }

  async exists(path: string): Promise<boolean> {
    return await Deno.stat(`${this.path}/${path}`).then(() => true, () => false);
  }

  async mode(path: string): Promise<string> {
    return ((await Deno.stat(`${this.path}/${path}`)).mode! & 0o777).toString(8);
  }

  /** What was called so far, a line each. */
  async calls(): Promise<string[]> {
    return (await this.read("stand-ins/calls")).split("\n").filter(Boolean);
  }

  /** Runs bash with these arguments in this root. */
  async bash(...args: string[]): Promise<Ran> {
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args,
      stdin: "null",
      env: {
        NODE_ROOT: this.path,
        STAND_INS: `${this.path}/stand-ins`,
        PATH: `${this.path}/stand-ins/bin:${Deno.env.get("PATH")}`,
        TIMMY_WAIT_PAUSE: "0.01",
      },
    }).output();
    const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code, out: out!, errors: errors! };
  }

  /** Runs steps of the first boot, or other functions of its script. */
  steps(script: string): Promise<Ran> {
    return this.bash("-c", `. "$NODE_ROOT/opt/timmy-node/first-boot.sh"; ${script}`);
  }

  ops(...args: string[]): Promise<Ran> {
    return this.bash(`${this.path}/opt/timmy-node/ops.sh`, ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
