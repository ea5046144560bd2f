import { z } from "zod";
import type { Clock } from "@/lib/clock.ts";
import { type Answer, type ApiRequest, createApi } from "./http.ts";
import { CloudError } from "./port.ts";
import { objectionToKey } from "./auth-keys.rules.ts";
import type { Tailnet } from "./tailnet.ts";

export interface TailscaleOptions {
  /** `tskey-api-…` (an API access token) or `tskey-client-…` (the secret of an OAuth client with the scope `auth_keys`). */
  apiKey: string;
  /** The tailnet's organization name, or `-` for the one the key belongs to. */
  tailnet: string;
  /** Without a version path. Default: `https://api.tailscale.com`. */
  baseUrl?: string;
  clock: Clock;
  fetch?: typeof fetch;
  /** Limit of one call (ms). Default 30,000. */
  timeoutMs?: number;
}

const Created = z.object({ id: z.string().regex(/^\w{1,64}$/), key: z.string().regex(/^tskey-[\w-]{8,256}$/) });
const Key = z.object({
  id: z.string().regex(/^\w{1,64}$/),
  description: z.string().optional(),
  created: z.string().optional(),
  expires: z.string().optional(),
  revoked: z.string().optional(),
  invalid: z.boolean().optional(),
});
type Key = z.infer<typeof Key>;
const Keys = z.object({ keys: z.array(Key).max(10_000).nullish() });
const Token = z.object({ access_token: z.string().regex(/^[\x21-\x7e]+$/), expires_in: z.number().positive() });
const ApiMessage = z.object({ message: z.string() });

/** An access token is renewed this long before it ends (ms), so that it does not end on the way. */
const TOKEN_MARGIN_MS = 60_000;
const MAX_BODY_BYTES = 8 * 1024 * 1024;

/**
 * Auth keys of a Tailscale tailnet (API v2). With an OAuth client's secret, access tokens of an hour are fetched as they
 * are needed (RFC 6749 §4.4), and kept in memory only.
 * @throws {Error} when the key, the tailnet or the base address cannot be one.
 */
export function createTailscale(options: TailscaleOptions): Tailnet {
  const { apiKey, tailnet, clock } = options;
  // The id of an OAuth client is part of its secret: tskey-client-<id>-<secret>.
  const client = /^tskey-client-([A-Za-z0-9]+)-[A-Za-z0-9]+$/.exec(apiKey)?.[1];
  if (client === undefined && !/^tskey-api-[\w-]+$/.test(apiKey)) {
    throw new Error("TAILSCALE_API_KEY must be tskey-api-… or an OAuth client's secret tskey-client-…");
  }
  if (!/^(-|[\w.@+-]{2,255})$/.test(tailnet)) throw new Error("TAILSCALE_TAILNET must be an organization's name or -");
  const api = createApi({
    provider: "Tailscale",
    setting: "TAILSCALE_API_BASE_URL",
    baseUrl: options.baseUrl ?? "https://api.tailscale.com",
    secrets: [apiKey],
    clock,
    ...(options.fetch && { fetch: options.fetch }),
    timeoutMs: options.timeoutMs ?? 30_000,
    maxBodyBytes: MAX_BODY_BYTES,
  });
  const keysPath = `/api/v2/tailnet/${encodeURIComponent(tailnet)}/keys`;

  let token: { value: string; until: number } | null = null;
  let asking: Promise<string> | null = null;

  /** What stands behind `Bearer`. */
  async function credential(): Promise<string> {
    if (client === undefined) return apiKey;
    if (token && clock.monotonic() < token.until) return token.value;
    asking ??= newToken(client).finally(() => asking = null);
    return await asking;
  }

  async function newToken(clientId: string): Promise<string> {
    const form = { grant_type: "client_credentials", client_id: clientId, client_secret: apiKey };
    const answer = await api.call({ method: "POST", path: "/api/v2/oauth/token", form });
    if (answer.status !== 200) throw api.failure(answer);
    const read = Token.safeParse(answer.body);
    if (!read.success) throw api.strange("no access token");
    const { access_token: value, expires_in: seconds } = read.data;
    token = { value, until: clock.monotonic() + seconds * 1_000 - TOKEN_MARGIN_MS };
    return value;
  }

  async function send(request: ApiRequest): Promise<Answer> {
    const used = await credential();
    const answer = await api.call({ ...request, authorization: `Bearer ${used}` });
    if (answer.status !== 401 || client === undefined) return answer;
    // Nothing was done. A token can be withdrawn before its hour is over; a new one tells whether the client still works.
    if (token?.value === used) token = null;
    return api.call({ ...request, authorization: `Bearer ${await credential()}` });
  }

  const isGood = ({ revoked, invalid, expires }: Key) =>
    !invalid && !isPast(revoked, clock.now()) && !isPast(expires, clock.now());

  return {
    name: "tailscale",
    simulated: false,

    async createKey(order) {
      const objection = objectionToKey(order);
      if (objection !== null) throw new CloudError(objection, false);
      const { description, tags, expirySeconds } = order;
      const create = { reusable: false, ephemeral: false, preauthorized: true, tags };
      const json = { capabilities: { devices: { create } }, expirySeconds, description };
      const answer = await send({ method: "POST", path: keysPath, json });
      if (answer.status !== 200 && answer.status !== 201) throw api.failure(answer);
      const read = Created.safeParse(answer.body);
      if (!read.success) throw api.strange("no auth key");
      return { id: read.data.id, key: read.data.key };
    },

    async findKeys(description) {
      const answer = await send({ method: "GET", path: `${keysPath}?all=true` });
      if (answer.status !== 200) throw api.failure(answer);
      const read = Keys.safeParse(answer.body);
      if (!read.success) throw api.strange("no list of keys");
      const found: string[] = [];
      for (const listed of read.data.keys ?? []) {
        // Some lists hold ids only.
        const key = listed.description === undefined && listed.created === undefined
          ? await details(listed.id)
          : listed;
        if (key?.description === description && isGood(key)) found.push(key.id);
      }
      return found;
    },

    async revoke(id) {
      checkId(id);
      const answer = await send({ method: "DELETE", path: `${keysPath}/${id}` });
      if (answer.status >= 200 && answer.status < 300 || isNotFound(answer)) return;
      throw api.failure(answer);
    },
  };

  async function details(id: string): Promise<Key | null> {
    const answer = await send({ method: "GET", path: `${keysPath}/${id}` });
    if (isNotFound(answer)) return null;
    if (answer.status !== 200) throw api.failure(answer);
    const read = Key.safeParse(answer.body);
    if (!read.success || read.data.id !== id) throw api.strange("no key as it should be");
    return read.data;
  }
}

/** Tailscale's own 404; a proxy's has another body. */
const isNotFound = ({ status, body }: Answer) => status === 404 && ApiMessage.safeParse(body).success;

/** A time that has come. The API's way to say "never" is the first year. */
function isPast(time: string | undefined, now: number): boolean {
  const at = Date.parse(time ?? "");
  return at > 0 && at <= now;
}

function checkId(id: string): void {
  if (!/^\w{1,64}$/.test(id)) throw new CloudError("this cannot be the id of an auth key", false);
}
