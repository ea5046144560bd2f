// needs: openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3
/** Types made from the instance's own document, and a typed call of every GET route and of the chat, as somebody writes them. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const url = process.env.TIMMY_URL;
const paths = (await (await fetch(`${url}/api/doc`)).json()).paths;

const made = spawnSync("openapi-typescript", [`${url}/api/doc`, "-o", "schema.ts"], { encoding: "utf8" });
const said = made.stdout + made.stderr;
assert.ok(made.status === 0 && !/warn|error/i.test(said), said);

const { TIMMY_JOB, TIMMY_SESSION, TIMMY_BOOTSTRAP, TIMMY_REQUEST, TIMMY_MODEL, TIMMY_NOSTR_TOKEN, OPENAI_API_KEY } =
  process.env;
const IDS = { "/api/jobs": TIMMY_JOB, "/api/sessions": TIMMY_SESSION, "/api/bootstrap": TIMMY_BOOTSTRAP };
const about = (path) => Object.entries(IDS).find(([start]) => path.startsWith(start))?.[1] ?? TIMMY_MODEL;
const calls = Object.entries(paths).filter(([, { get }]) => get).map(([path, { get }]) => {
  const params = {};
  for (const { in: place, name, required } of get.parameters ?? []) {
    if (place === "path") (params.path ??= {})[name] = name === "requestId" ? TIMMY_REQUEST : about(path);
    if (place === "query" && required) {
      (params.query ??= {})[name] = name === "nonce" ? "ab".repeat(32) : "What is a hold invoice?";
    }
  }
  const asText = get.responses[200].content?.["application/json"] ? "" : `, parseAs: "text"`;
  return `checked("${path}", await api.GET("${path}", { params: ${JSON.stringify(params)} as const${asText} }));`;
});
writeFileSync(
  "calls.ts",
  `
import createClient from "openapi-fetch";
import type { paths } from "./schema.ts";
const api = createClient<paths>({ baseUrl: "${url}", headers: { authorization: "Bearer ${OPENAI_API_KEY}" } });
function checked(path: string, { error, response }: { error?: unknown; response: Response }): void {
  if (!response.ok) throw new Error(path + " answered " + response.status + ": " + JSON.stringify(error));
}
api.use({ onRequest({ request, schemaPath }) {
  if (schemaPath.startsWith("/api/identity")) {
    request.headers.delete("authorization");
    request.headers.set("x-nostr-token", "${TIMMY_NOSTR_TOKEN}");
  }
} });
${calls.join("\n")}
const chat = await api.POST("/api/v1/chat/completions", {
  body: { model: "${TIMMY_MODEL}", messages: [{ role: "user", content: "What is a hold invoice?" }] },
});
checked("chat", chat);
if (chat.data === undefined || typeof chat.data === "string") throw new Error("the chat said " + chat.data);
const text: string | null | undefined = chat.data.choices[0]?.message.content;
if (!text?.includes("hold invoice")) throw new Error("the chat said " + text);
`,
);
const options = [
  "--strict",
  "--target",
  "es2022",
  "--module",
  "nodenext",
  "--lib",
  "es2023,dom,dom.iterable",
  "--allowImportingTsExtensions",
  "--rewriteRelativeImportExtensions",
];
writeFileSync("package.json", JSON.stringify({ private: true, type: "module" }));
try {
  execFileSync("tsc", [...options, "--outDir", "built", "calls.ts"], { encoding: "utf8" });
} catch (error) {
  assert.fail(error.stdout);
}
await import("./built/calls.js");
