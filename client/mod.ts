/**
 * A client for Timmy's sessions, typed from its OpenAPI document. Thin: one method per route, and the offline narrowing of
 * tokens. For chat completions use the official `openai` package with `<baseUrl>/api/v1` and the macaroon as its key.
 */
import createClient from "openapi-fetch";
import { caveatOf, readCaveats } from "@/lib/l402/caveats.ts";
import { fromBase64, narrow as narrowMacaroon, toBase64 } from "@/lib/l402/macaroon.ts";
import type { components, paths } from "./schema.ts";

type Schemas = components["schemas"];
export type Session = Schemas["Session"];
export type SessionCreated = Schemas["SessionCreated"];
export type SessionRequest = Schemas["SessionRequest"];
export type SessionHistory = Schemas["SessionHistory"];
export type SessionClosed = Schemas["SessionClosed"];
export type TopUpOffered = Schemas["TopUpOffered"];

export interface TimmyOptions {
  /** Where the instance is, without `/api`: `http://127.0.0.1:8080`. */
  baseUrl: string;
  /** `<macaroon>` as `read` shows it after payment, or `<macaroon>:<preimage>`. `open` and `read` need none. */
  macaroon?: string;
  fetch?: (request: Request) => Promise<Response>;
}

/** Whatever was not answered with success. Network errors are `fetch`'s own. */
export class TimmyError extends Error {
  override name = "TimmyError";
  /**
   * @param code of the answer's error, such as `insufficient_balance`; `unknown` when the answer was none of Timmy's
   * @param details of the answer's error: balance and price of a 402, the pending top-up of a 409
   * @param challenge the `WWW-Authenticate` header of a 402, when it holds one to pay
   */
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly details: Readonly<Record<string, unknown>>,
    readonly challenge: string | null,
  ) {
    super(message);
  }
}

/** The routes of a session; each throws {@link TimmyError}. Amounts are whole sats. */
export interface Timmy {
  /** A session that waits for its deposit: pay `invoice`, then `read` shows the macaroon. A repeated key opens no second one. */
  open(amountSats: number, options?: { idempotencyKey?: string }): Promise<SessionCreated>;
  read(sessionId: string): Promise<Session>;
  /**
   * Asks and waits. `state` says how it ended; `running` after two minutes, then look at it with `request`. With a key it can
   * be sent again after a lost answer, and is charged once.
   */
  ask(sessionId: string, request: string, options?: { idempotencyKey?: string }): Promise<SessionRequest>;
  /** One request of the session with its result. */
  request(sessionId: string, requestId: string): Promise<SessionRequest>;
  /** Pay its invoice. One is pending at a time: while it is, 409 with `details.pendingTopup`. */
  topUp(sessionId: string, amountSats: number): Promise<TopUpOffered>;
  /** Ends the session and pays the balance to `invoice`, which must be for exactly that; without one it waits to be claimed. */
  close(sessionId: string, invoice?: string): Promise<SessionClosed>;
  /** Newest first; `next` of one page is `after` of the following. @param options.limit 1 to 100, 20 unless told */
  history(sessionId: string, options?: { limit?: number; after?: string }): Promise<SessionHistory>;
}

export function createTimmy({ baseUrl, macaroon, fetch }: TimmyOptions): Timmy {
  const api = createClient<paths>({
    baseUrl,
    ...(fetch && { fetch }),
    ...(macaroon !== undefined && { headers: { Authorization: `Bearer ${macaroon}` } }),
  });
  const keyed = (key: string | undefined) => (key === undefined ? {} : { header: { "idempotency-key": key } });
  return {
    open: async (amountSats, { idempotencyKey } = {}) =>
      taken(await api.POST("/api/sessions", { params: keyed(idempotencyKey), body: { amount_sats: amountSats } })),
    read: async (id) => taken(await api.GET("/api/sessions/{id}", { params: { path: { id } } })),
    ask: async (id, request, { idempotencyKey } = {}) =>
      taken(
        await api.POST("/api/sessions/{id}/request", {
          params: { path: { id }, ...keyed(idempotencyKey) },
          body: { request },
        }),
      ),
    request: async (id, requestId) =>
      taken(await api.GET("/api/sessions/{id}/requests/{requestId}", { params: { path: { id, requestId } } })),
    topUp: async (id, amountSats) =>
      taken(
        await api.POST("/api/sessions/{id}/topup", { params: { path: { id } }, body: { amount_sats: amountSats } }),
      ),
    close: async (id, invoice) =>
      taken(
        await api.POST("/api/sessions/{id}/close", {
          params: { path: { id } },
          body: invoice === undefined ? {} : { invoice },
        }),
      ),
    history: async (id, { limit, after } = {}) => {
      const query = { ...(limit !== undefined && { limit: String(limit) }), ...(after !== undefined && { after }) };
      return taken(await api.GET("/api/sessions/{id}/requests", { params: { path: { id }, query } }));
    },
  };
}

/** The answer's data. @throws {TimmyError} */
function taken<T>({ data, error, response }: { data?: T; error?: unknown; response: Response }): T {
  if (response.ok && data !== undefined) return data;
  const body = (error as Partial<Schemas["Error"]> | undefined)?.error;
  throw new TimmyError(
    body?.message ?? `${response.url} answered ${response.status}, and nothing that Timmy says. Is this its address?`,
    response.status,
    body?.code ?? "unknown",
    body?.details ?? {},
    response.status === 402 ? response.headers.get("www-authenticate") : null,
  );
}

export interface Limits {
  /** Most that may be spent with the narrowed token, and with every token narrowed from it. */
  maxSats?: number;
  /** The only model, or models. */
  model?: string | readonly string[];
  /** From this second on it buys nothing. */
  validUntil?: Date;
}

/**
 * The same token with less power, made offline, for a sub-agent. `validUntil` is written first: tokens narrowed to different
 * times have counts of their own for their `maxSats`; tokens narrowed in exactly the same way are one token, and share one.
 * @throws {RangeError} without any limit, for a limit that is wider than what the token allows already, and for
 *   `<macaroon>:<preimage>`: whoever knows the preimage of a session's deposit can fetch the whole token.
 * @throws {MacaroonError} for text that is not a macaroon
 */
export function narrow(macaroon: string, { maxSats, model, validUntil }: Limits): string {
  if (macaroon.includes(":")) {
    throw new RangeError(
      "this token needs its preimage, and with that its holder could fetch the whole token: get the one that works alone " +
        "with POST /api/sessions/{id}/macaroon, and narrow it",
    );
  }
  const caveats = [
    ...(validUntil === undefined ? [] : [caveatOf.validUntil(Math.floor(validUntil.getTime() / 1_000))]),
    ...(model === undefined ? [] : [caveatOf.model(...(typeof model === "string" ? [model] : model))]),
    ...(maxSats === undefined ? [] : [caveatOf.maxSats(maxSats)]),
  ];
  if (caveats.length === 0) {
    throw new RangeError("a token is narrowed by maxSats, model or validUntil: name at least one");
  }
  const narrowed = narrowMacaroon(fromBase64(macaroon), caveats);
  const read = readCaveats(narrowed.caveats, 0); // at the beginning of time nothing has expired
  if (!read.ok) throw new RangeError(read.problem.message);
  return toBase64(narrowed);
}
