import assert from "node:assert/strict";
import { createRoute, z } from "@hono/zod-openapi";
import { configureOpenApi } from "./configure-open-api.ts";
import { createApp, createRouter, mount } from "./create-app.ts";
import { errorResponses } from "./errors.ts";
import { collectingLogger } from "@/lib/logger.ts";

function build() {
  const app = createApp({ deps: {}, log: collectingLogger(), middlewares: [] });
  const router = createRouter<unknown>();
  const route = createRoute({
    method: "post",
    path: "/api/things/{id}",
    request: {
      params: z.object({ id: z.string() }),
      body: { required: true, content: { "application/json": { schema: z.strictObject({ text: z.string() }) } } },
    },
    responses: { 204: { description: "done" }, ...errorResponses(400, 404) },
  });
  router.openapi(route, (c) => c.body(null, 204));
  mount(app, router);
  configureOpenApi(app, { version: "1.2.3" });
  return app;
}

Deno.test("configureOpenApi: the document is OpenAPI 3.1 and has every contract with its errors", async () => {
  const response = await build().request("/api/doc");
  assert.equal(response.status, 200);
  assert.match(response.headers.get("Content-Type") ?? "", /^application\/json/);
  const document = await response.json();
  assert.equal(document.openapi, "3.1.0");
  assert.equal(document.info.version, "1.2.3");
  const operation = document.paths["/api/things/{id}"].post;
  assert.equal(operation.requestBody.required, true);
  assert.deepEqual(Object.keys(operation.responses), ["204", "400", "404", "408", "413", "415", "429", "500", "503"]);
  assert.equal(operation.responses["400"].$ref, "#/components/responses/Error400");
  const { content } = document.components.responses.Error400;
  assert.equal(content["application/json"].schema.$ref, "#/components/schemas/Error");
  assert.deepEqual(document.components.schemas.Error.required, ["error"]);
});

Deno.test("configureOpenApi: everything the page asks for is served here, with its type", async () => {
  const app = build();
  const response = await app.request("/api/reference");
  assert.match(response.headers.get("Content-Type") ?? "", /^text\/html/);
  const html = await response.text();
  const asked = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = ""]) => url)
    .filter((url) => !url.startsWith("data:"));
  assert.deepEqual(asked, [
    "/api/reference/swagger-ui.css",
    "/api/doc",
    "/api/reference/swagger-ui-bundle.js",
    "/api/reference/init.js",
  ]);
  const types = { css: "text/css", js: "text/javascript", doc: "application/json" };
  for (const url of asked) {
    const asset = await app.request(url);
    assert.equal(asset.status, 200, url);
    const type = types[url.split(/[./]/).at(-1) as keyof typeof types];
    assert.ok(asset.headers.get("Content-Type")?.startsWith(type), url);
    assert.ok((await asset.text()).length > 100, url);
  }
});

Deno.test("configureOpenApi: the assets are packed for whoever can unpack them", async () => {
  const packed = await build().request("/api/reference/swagger-ui-bundle.js", {
    headers: { "Accept-Encoding": "gzip" },
  });
  assert.equal(packed.headers.get("Content-Encoding"), "gzip");
  assert.ok((await packed.arrayBuffer()).byteLength < 800_000);
});

Deno.test("configureOpenApi: the page has no inline script or style and names no other host", async () => {
  const app = build();
  const html = await (await app.request("/api/reference")).text();
  assert.ok(!/<script(?![^>]*\bsrc=)/.test(html));
  assert.ok(!/<style|\sstyle=|\son[a-z]+=/.test(html));
  assert.ok(!/\/\/[a-z0-9]/i.test(html));
  const init = await (await app.request("/api/reference/init.js")).text();
  assert.ok(!/https?:/.test(init));
});
