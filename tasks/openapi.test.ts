import { deepStrictEqual, match, ok } from "node:assert/strict";
import { DOCUMENT, typesOf } from "./client.ts";

interface Operation {
  operationId: string;
  security: Record<string, string[]>[];
  responses: Record<string, unknown>;
  parameters?: unknown[];
}

const document = JSON.parse(await Deno.readTextFile(DOCUMENT));
const operations = Object.entries(document.paths as Record<string, Record<string, Operation>>).flatMap((
  [path, methods],
) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));

Deno.test("the API document: every operation has a name of its own that generators can use", () => {
  const ids = operations.map(({ operation }) => operation.operationId);
  for (const id of ids) match(id, /^[a-z][A-Za-z0-9]+$/);
  deepStrictEqual(ids.length, new Set(ids).size);
});

Deno.test("the API document: credentials are asked for where they are needed, and by names that are explained", () => {
  const asked = (path: string, method: string) =>
    operations.find((o) => o.path === path && o.method === method)!.operation.security.flatMap(Object.keys);
  deepStrictEqual(asked("/api/v1/chat/completions", "post"), ["L402", "Bearer"]);
  deepStrictEqual(asked("/api/identity/me", "get"), ["NostrToken", "Nostr"]);
  for (const path of ["/api/health", "/api/v1/models", "/api/jobs/{id}", "/api/free-tier"]) {
    deepStrictEqual(asked(path, "get"), [], path);
  }
  for (const { operation } of operations) {
    for (const name of operation.security.flatMap(Object.keys)) ok(name in document.components.securitySchemes, name);
  }
});

Deno.test("the API document: what can be wrong is said: 400 everywhere, 404 or 402 where an id stands in the path", () => {
  for (const { path, method, operation } of operations) {
    for (const status of ["400", "429", "500"]) ok(status in operation.responses, `${method} ${path} ${status}`);
    if (!path.includes("{")) continue;
    ok("404" in operation.responses || "402" in operation.responses, `${method} ${path}`);
  }
});

Deno.test("the API document: no choice between values that are not texts, which generators of clients fail on", () => {
  JSON.stringify(document, (key, value) => {
    if (key === "enum") {
      ok(value.every((one: unknown) => typeof one !== "boolean" && one !== null), JSON.stringify(value));
    }
    return value;
  });
});

Deno.test("the API document: the client's types have every path and every operation", async () => {
  const types = await typesOf(JSON.stringify(document));
  for (const { path, operation } of operations) {
    ok(types.includes(`"${path}": {`), path);
    ok(types.includes(`operations["${operation.operationId}"]`), operation.operationId);
  }
});
