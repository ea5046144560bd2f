// deno-lint-ignore-file no-console -- a command prints
/**
 * Writes the client's types, client/schema.ts, from docs/openapi.json, or (`--check`) says whether the committed ones are the same.
 *
 *   deno task client [--check]
 */
import openapiTS, { astToString } from "openapi-typescript";

export const DOCUMENT = new URL("../docs/openapi.json", import.meta.url);
export const SCHEMA = new URL("../client/schema.ts", import.meta.url);

const HEAD = `// deno-fmt-ignore-file
// deno-lint-ignore-file
/** The API's types. Written by \`deno task client\` from docs/openapi.json; never by hand. */
`;

/** The types of an OpenAPI document (JSON text), as client/schema.ts holds them. @throws for what is not such a document. */
export async function typesOf(document: string): Promise<string> {
  return HEAD + astToString(await openapiTS(document, { silent: true }));
}

async function main(): Promise<number> {
  const text = await typesOf(await Deno.readTextFile(DOCUMENT));
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(SCHEMA, text);
    return 0;
  }
  if (await Deno.readTextFile(SCHEMA) === text) return 0;
  console.error("client/schema.ts is not what docs/openapi.json describes: run `deno task client`");
  return 1;
}

if (import.meta.main) Deno.exit(await main());
