import { match, strictEqual } from "node:assert/strict";
import { DOCUMENT, SCHEMA, typesOf } from "./client.ts";

Deno.test("client: its committed types are those of the committed API document", async () => {
  const fresh = await typesOf(await Deno.readTextFile(DOCUMENT));
  strictEqual(
    await Deno.readTextFile(SCHEMA) === fresh,
    true,
    "client/schema.ts is out of date: run `deno task client`",
  );
});

Deno.test("typesOf: a path of the document is a path of the types", async () => {
  const types = await typesOf(JSON.stringify({
    openapi: "3.1.0",
    info: { title: "one", version: "1" },
    paths: { "/only/one": { get: { responses: { 204: { description: "nothing" } } } } },
  }));
  match(types, /"\/only\/one": \{/);
});
