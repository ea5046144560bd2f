/** OpenSSH's own programs, for tests that ask them whether they agree. Everything they write stays in a folder of the test. */

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const PATH = `${Deno.env.get("PATH")}:/usr/sbin`; // where sshd is
const mayRun = (await Deno.permissions.query({ name: "run", command: "sh" })).state === "granted";

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Through sh, which is what tests may run. */
export async function run(program: string, args: string[], stdin?: Uint8Array): Promise<Ended> {
  const child = start(program, args, stdin ? "piped" : "null");
  if (stdin) {
    const writer = child.stdin.getWriter();
    await writer.write(stdin);
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: decode(stdout), stderr: decode(stderr) };
}

/** Starts a program as a child of this process, so that its id is the child's. */
export const start = (program: string, args: string[], stdin: "piped" | "null" = "null"): Deno.ChildProcess =>
  new Deno.Command("sh", {
    // sshd starts itself again for each login and must know where it is.
    args: ["-c", 'exec "$(command -v "$0")" "$@"', program, ...args],
    env: { PATH },
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();

/** For `Deno.test`: a test that needs these programs, and says in its name what is missing where it is ignored. */
export async function needs(name: string, ...programs: string[]): Promise<{ name: string; ignore: boolean }> {
  const missing: string[] = [];
  for (const program of programs) {
    if (!mayRun || (await run("sh", ["-c", `command -v ${program}`])).code !== 0) missing.push(program);
  }
  return {
    name: missing.length > 0 ? `${name} (install ${missing.join(", ")} to run)` : name,
    ignore: missing.length > 0,
  };
}

/** Runs `test` with a folder of its own that only this user reads, as ssh wants it of keys. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "timmy-ssh-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A new pair of ssh-keygen's at `path` and `path.pub`. @returns the line of the `.pub` file @param type as `-t` and `-b` take it */
export async function keygen(path: string, type: string[]): Promise<string> {
  const made = await run("ssh-keygen", ["-q", "-N", "", "-C", "someone@here", "-f", path, "-t", ...type]);
  if (made.code !== 0) throw new Error(made.stderr);
  return await Deno.readTextFile(`${path}.pub`);
}

export interface Sshd {
  port: number;
  stop(): Promise<void>;
}

/** An sshd on a free port of 127.0.0.1 that lets this user in with the keys of `authorized`. @throws with its log if it ends instead */
export async function startSshd(folder: string, authorized: string[], hostKeys: string[]): Promise<Sshd> {
  if (Deno.uid() === 0) await Deno.mkdir("/run/sshd", { recursive: true, mode: 0o755 }); // root's sshd wants it, empty
  const port = freePort();
  await Deno.writeTextFile(`${folder}/authorized`, authorized.join("\n") + "\n");
  await Deno.writeTextFile(
    `${folder}/config`,
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      ...hostKeys.map((path) => `HostKey ${path}`),
      `AuthorizedKeysFile ${folder}/authorized`,
      "AuthenticationMethods publickey",
      "PermitRootLogin prohibit-password",
      "StrictModes no",
      "UsePAM no",
      "PidFile none",
    ].join("\n") + "\n",
  );
  const child = start("sshd", ["-D", "-e", "-f", `${folder}/config`]);
  await child.stdout.cancel();
  const log = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("Server listening on")) {
    const { value, done } = await log.read();
    if (done) throw new Error(`sshd ended: ${said}`);
    said += value;
  }
  const drained = (async () => {
    while (!(await log.read()).done);
  })();
  return {
    port,
    async stop() {
      child.kill("SIGTERM");
      await child.status;
      await drained;
    },
  };
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Logs this user in at 127.0.0.1 and runs `echo in`. Asks nothing: what is not settled by the files fails. */
export async function login(port: number, identity: string, knownHostsFile: string): Promise<Ended> {
  const user = (await run("id", ["-un"])).stdout.trim();
  const options = [
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "StrictHostKeyChecking=yes",
    "HostKeyAlias=127.0.0.1", // looked up as on port 22, without a port
    `UserKnownHostsFile=${knownHostsFile}`,
    "GlobalKnownHostsFile=/dev/null",
  ];
  const flags = ["-F", "none", "-i", identity, "-p", `${port}`, ...options.flatMap((option) => ["-o", option])];
  return await run("ssh", [...flags, `${user}@127.0.0.1`, "echo in"]);
}
