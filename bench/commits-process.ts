/** The jobs of `commits.ts` in a process of their own, so that its calls to the system can be counted from outside. */
import { paidJobs } from "./commits.ts";

const [path] = Deno.args;
if (path === undefined) throw new Error("name the folder for the database");
const text = JSON.stringify(await paidJobs(path));
Deno.stdout.writeSync(new TextEncoder().encode(text));
Deno.exit(0);
