import type { Context } from "hono";
import { compress } from "hono/compress";
import type { AppEnv, AppRouter } from "./create-app.ts";
import { ERROR_DESCRIPTIONS } from "./errors.ts";

const DOC = "/api/doc";
const PAGE = "/api/reference";

/**
 * The assets of the API page, out of the npm package that the lock file pins by hash. Imported as text, because a file
 * of an npm package can be read neither under narrow permissions nor by its path inside a compiled program; imported
 * when first asked for, because 1.9 MB of script are not worth having in memory before anybody looks at the page.
 * Deno 2.6 needs "raw-imports" among the unstable features of deno.json for this; 2.9 does not.
 */
const ASSETS = {
  "swagger-ui.css": {
    type: "text/css; charset=utf-8",
    load: () => text(import("swagger-ui-dist/swagger-ui.css", { with: { type: "text" } })),
  },
  "swagger-ui-bundle.js": {
    type: "text/javascript; charset=utf-8",
    load: () => text(import("swagger-ui-dist/swagger-ui-bundle.js", { with: { type: "text" } })),
  },
  // In a file of its own: the content security policy forbids inline scripts.
  "init.js": {
    type: "text/javascript; charset=utf-8",
    load: () =>
      Promise.resolve(`SwaggerUIBundle({
  url: "${DOC}",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // else it sends the document's address to validator.swagger.io
  defaultModelsExpandDepth: 0,
});
`),
  },
} as const;

const HTML = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Timmy API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="${PAGE}/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <noscript>This page needs JavaScript. The document it shows is at <a href="${DOC}">${DOC}</a>.</noscript>
    <script src="${PAGE}/swagger-ui-bundle.js"></script>
    <script src="${PAGE}/init.js"></script>
  </body>
</html>
`;

/** How a caller shows that it has paid (wire.md §2). */
const SECURITY_SCHEMES = {
  Bearer: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "macaroon",
    description:
      "The macaroon that `GET /api/sessions/{id}` shows once the deposit is paid, or `<macaroon>:<preimage>`",
  },
  L402: {
    type: "apiKey",
    in: "header",
    name: "Authorization",
    description: "`L402 <macaroon>:<preimage>`, from a 402 challenge and the payment of its invoice",
  },
} as const;

/**
 * Adds the OpenAPI 3.1 document of every contract mounted on `app` at `/api/doc`, and a page to browse it at
 * `/api/reference`. Everything comes from this origin. Call it after all routers are mounted.
 *
 * @param options.version the program's version
 */
export function configureOpenApi<D>(app: AppRouter<D>, options: { version: string }): void {
  // Built at the first request, when everything is mounted, and once: it takes some milliseconds.
  let document: string | undefined;
  for (const [name, scheme] of Object.entries(SECURITY_SCHEMES)) {
    app.openAPIRegistry.registerComponent("securitySchemes", name, scheme);
  }
  app.get(DOC, (c) => {
    document ??= JSON.stringify(withCommonErrors(app.getOpenAPI31Document({
      openapi: "3.1.0",
      info: {
        title: "Timmy",
        version: options.version,
        description:
          "An AI agent that is paid with Lightning. Errors have one shape; ids are capabilities: keep them. `/v1` is another name " +
          "of `/api/v1`. An address that has no such method answers 405 with `Allow`.",
        license: { name: "MIT", url: "https://opensource.org/license/mit" },
      },
      servers: [{ url: "/" }],
    })));
    return c.body(document, 200, { "Content-Type": "application/json; charset=utf-8" });
  });

  app.use(`${PAGE}/*`, compress()); // the script is 1.7 MB, a quarter of that when packed
  app.get(PAGE, (c) => c.html(HTML));
  for (const [name, asset] of Object.entries(ASSETS)) {
    app.get(`${PAGE}/${name}`, async (c: Context<AppEnv<D>>) => {
      c.header("Content-Type", asset.type);
      c.header("Cache-Control", "public, max-age=86400");
      return c.body(await asset.load());
    });
  }
}

async function text(module: Promise<{ default: unknown }>): Promise<string> {
  const { default: content } = await module;
  if (typeof content !== "string") throw new Error("an asset of the API page did not load as text");
  return content;
}

interface Operation {
  requestBody?: unknown;
  responses?: Record<string, { description?: string; $ref?: string }>;
  security?: object[];
}

interface Document {
  paths?: object;
  components?: { responses?: object };
}

const COMMON = ["400", "429", "500"];
const COMMON_WITH_BODY = ["408", "413", "415", "503"];

/**
 * What every route may answer besides what its own contract says, each error described once; and that no credential is needed where
 * none is named.
 */
function withCommonErrors<T extends Document>(document: T): T {
  const described = new Map(Object.entries(ERROR_DESCRIPTIONS));
  const used = new Set<string>();
  const ref = (status: string) => {
    used.add(status);
    return { $ref: `#/components/responses/Error${status}` };
  };
  for (const methods of Object.values(document.paths ?? {})) {
    for (const operation of Object.values(methods as Record<string, Operation>)) {
      const common = operation.requestBody === undefined ? COMMON : [...COMMON, ...COMMON_WITH_BODY];
      const own = Object.entries(operation.responses ?? {}).map(([status, response]) =>
        [status, response.description === described.get(status) ? ref(status) : response] as const
      );
      operation.responses = Object.fromEntries([...common.map((status) => [status, ref(status)] as const), ...own]);
      operation.security ??= [];
    }
  }
  const responses = Object.fromEntries(
    [...used].sort().map((status) => [`Error${status}`, {
      description: described.get(status),
      content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
    }]),
  );
  document.components = { ...document.components, responses };
  return document;
}
