/** The work of `commits.ts` in a process of its own, so that its calls to the system can be counted from outside. */
import { COUNTED, type Kind } from "./commits.ts";

const [path, kind] = Deno.args;
if (path === undefined) throw new Error("name the folder for the database");
if (kind === undefined || !Object.hasOwn(COUNTED, kind)) throw new Error("name what is counted");
const text = JSON.stringify(await COUNTED[kind as Kind](path));
Deno.stdout.writeSync(new TextEncoder().encode(text));
Deno.exit(0);
