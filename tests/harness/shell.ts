/** Programs of this machine, for tests that compare with them. */

const run = (command: string, cwd?: string) =>
  new Deno.Command("sh", { args: ["-c", command], stdin: "null", ...(cwd !== undefined && { cwd }) });

/** Whether the machine has it; a test that needs it says so in its name. */
export const hasProgram = (name: string): boolean => run(`command -v ${name}`).outputSync().success;

/** What a command writes. @throws with what it wrote when it fails */
export async function shell(command: string, cwd: string): Promise<string> {
  const { success, stdout, stderr } = await run(command, cwd).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (!success) throw new Error(text);
  return text;
}
