// deno-lint-ignore-file no-console -- a command prints
/**
 * Writes the OpenAPI document of an instance with its development routes to docs/openapi.json, or (`--check`) says whether the
 * committed one is the same.
 */
import { VERSION } from "../version.ts";
import { createWorld } from "../tests/harness/world.ts";

const FILE = new URL("../docs/openapi.json", import.meta.url);

const world = await createWorld();
const { body } = await world.call("GET", "/api/doc");
await world.close();
body.info.version = VERSION;
const text = JSON.stringify(body, null, 2) + "\n";

if (!Deno.args.includes("--check")) {
  await Deno.writeTextFile(FILE, text);
} else if (await Deno.readTextFile(FILE) !== text) {
  console.error("docs/openapi.json is not what the program describes: run `deno task openapi`");
  Deno.exit(1);
}
Deno.exit(0);
