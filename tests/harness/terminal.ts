/** A program that believes it is at a terminal, and somebody who types. */
import { hasProgram } from "./shell.ts";

/** Python brings pseudo-terminals; a test that needs it says so in its name. */
export const hasTerminal = hasProgram("python3");

const TYPIST = `
import json, os, pty, select, sys, time
job = json.loads(os.environ["JOB"])
pid, fd = pty.fork()
if pid == 0:
    os.chdir(job["cwd"])
    os.execvpe(job["argv"][0], job["argv"], job["env"])
said, seen, steps, until = b"", 0, job["steps"], time.monotonic() + job["seconds"]
while time.monotonic() < until:
    ready, _, _ = select.select([fd], [], [], 0.2)
    if ready:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    if steps:
        at = said.find(steps[0][0].encode(), seen)
        if at >= 0:
            seen = at + len(steps[0][0].encode())
            os.write(fd, steps.pop(0)[1].encode())
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "said": said.decode(), "left": steps}))
`;

export interface Conversation {
  /** The exit code; negative: ended by that signal (-9: it did not end in time). */
  code: number;
  /** All that stood on the screen, what was echoed too. */
  said: string;
  /** Steps that were not reached. */
  left: string[][];
}

/**
 * Runs a program at a terminal.
 * @param steps what is waited for, and what is then typed
 */
export async function atTerminal(
  argv: readonly string[],
  { cwd, env, seconds = 60 }: { cwd: string; env: Record<string, string>; seconds?: number },
  steps: readonly (readonly [wait: string, type: string])[],
): Promise<Conversation> {
  const { success, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", 'exec python3 -c "$TYPIST"'],
    env: { TYPIST, JOB: JSON.stringify({ argv, cwd, env, seconds, steps }) },
    stdin: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
