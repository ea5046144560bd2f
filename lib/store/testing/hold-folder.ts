/** A process of its own that takes the data folder named on its command line, says how that went, and stays. */
import { openDataDir } from "@/lib/store/data-dir.ts";
import { systemRandom } from "@/lib/ids.ts";

if (import.meta.main) {
  const say = (line: string) => Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
  try {
    await openDataDir(Deno.args[0] ?? "", systemRandom);
    await say("held");
    setInterval(() => {}, 60_000);
  } catch (error) {
    await say(`refused: ${(error as Error).message}`);
  }
}
