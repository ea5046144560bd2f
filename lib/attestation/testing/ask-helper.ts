// deno-lint-ignore-file no-console -- a command prints
/** Asks the helper at a socket some times, and prints what comes: ask-helper.ts SOCKET TIMES */
import { systemClock } from "@/lib/clock.ts";
import { createHelper } from "../helper.ts";

const [socket = "", times] = Deno.args;
const ask = createHelper({ socket, clock: systemClock });
for (let i = 0; i < Number(times); i++) {
  try {
    console.log(JSON.stringify(await ask(new Uint8Array(64))));
  } catch (error) {
    console.log(String(error));
  }
}
