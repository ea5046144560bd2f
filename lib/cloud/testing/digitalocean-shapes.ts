/** The shapes of requests that DigitalOcean's API v2 takes, of the calls the adapter makes. Anything else is a violation. */
import { z } from "zod";

const Name = z.string().max(255).regex(/^[a-zA-Z0-9]?[a-z0-9A-Z.-]*[a-z0-9A-Z]$/);
const Tag = z.string().max(255).regex(/^[a-zA-Z0-9_:-]+$/);
const Slug = z.string().regex(/^[a-z0-9-]+$/);
const Uuid = z.uuid();

export const BODIES = {
  "POST /v2/account/keys": z.strictObject({ name: z.string().min(1), public_key: z.string().min(1) }),
  "POST /v2/volumes": z.strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/),
    region: Slug,
    size_gigabytes: z.int().min(1).max(16_384),
    description: z.string().optional(),
    filesystem_type: z.enum(["ext4", "xfs"]).optional(),
    filesystem_label: z.string().max(16).optional(),
    tags: z.array(Tag).optional(),
  }),
  "POST /v2/volumes/:id/actions": z.strictObject({
    type: z.literal("detach"),
    droplet_id: z.int().positive(),
    region: Slug.optional(),
  }),
  "POST /v2/droplets": z.strictObject({
    name: Name,
    region: Slug,
    size: Slug,
    image: z.union([Slug, z.int()]),
    ssh_keys: z.array(z.union([z.int(), z.string()])),
    volumes: z.array(Uuid),
    tags: z.array(Tag),
    user_data: z.string().refine((text) => new TextEncoder().encode(text).length <= 65_536),
    ipv6: z.boolean(),
    monitoring: z.boolean(),
    backups: z.boolean(),
  }),
  "POST /v2/tags": z.strictObject({ name: Tag }),
  "POST /v2/tags/:id/resources": z.strictObject({
    resources: z.array(z.strictObject({ resource_id: z.string(), resource_type: z.enum(["droplet", "volume"]) })).min(
      1,
    ),
  }),
} as const;

const paging = ["page", "per_page"];
/** Query parameters of the calls that take any. */
const QUERIES: Readonly<Record<string, readonly string[]>> = {
  "GET /v2/account/keys": paging,
  "GET /v2/droplets": [...paging, "name", "tag_name", "type"],
  "GET /v2/volumes": [...paging, "name", "region"],
  "GET /v2/sizes": paging,
  "GET /v2/regions": paging,
  "GET /v2/droplets/:id/actions": paging,
};

const PATHS: readonly (readonly [string, RegExp])[] = [
  ["/v2/account", /^\/v2\/account$/],
  ["/v2/account/keys", /^\/v2\/account\/keys$/],
  ["/v2/account/keys/:id", /^\/v2\/account\/keys\/(\d+|[0-9a-f]{2}(:[0-9a-f]{2}){15})$/],
  ["/v2/droplets", /^\/v2\/droplets$/],
  ["/v2/droplets/:id", /^\/v2\/droplets\/\d+$/],
  ["/v2/droplets/:id/actions", /^\/v2\/droplets\/\d+\/actions$/],
  ["/v2/volumes", /^\/v2\/volumes$/],
  ["/v2/volumes/:id", /^\/v2\/volumes\/[0-9a-f-]{36}$/],
  ["/v2/volumes/:id/actions", /^\/v2\/volumes\/[0-9a-f-]{36}\/actions$/],
  ["/v2/sizes", /^\/v2\/sizes$/],
  ["/v2/regions", /^\/v2\/regions$/],
  ["/v2/tags", /^\/v2\/tags$/],
  ["/v2/tags/:id/resources", /^\/v2\/tags\/[^/]+\/resources$/],
];
const DELETABLE = ["/v2/account/keys/:id", "/v2/droplets/:id", "/v2/volumes/:id"];

export function nameOf(method: string, path: string): string | null {
  const pattern = PATHS.find(([, regex]) => regex.test(path))?.[0];
  const name = `${method} ${pattern}`;
  if (pattern === undefined) return null;
  if (method === "POST") return name in BODIES ? name : null;
  if (method === "DELETE") return DELETABLE.includes(pattern) ? name : null;
  return method === "GET" && !/tags/.test(pattern) && name !== "GET /v2/volumes/:id/actions" ? name : null;
}

/** What is wrong with the query, or null. */
export function objectionToQuery(name: string, query: URLSearchParams): string | null {
  const allowed = QUERIES[name] ?? [];
  for (const key of query.keys()) if (!allowed.includes(key)) return `it takes no parameter ${key}`;
  const size = Number(query.get("per_page") ?? 20);
  const page = Number(query.get("page") ?? 1);
  if (!(Number.isInteger(size) && size >= 1 && size <= 200)) return "per_page is 1 to 200";
  if (!(Number.isInteger(page) && page >= 1)) return "page begins with 1";
  if (query.has("name") && query.has("tag_name")) return "name and tag_name cannot be combined";
  return null;
}
