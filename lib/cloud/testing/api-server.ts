/**
 * What the stand-ins of provider APIs share: a server on 127.0.0.1 that counts its calls, notes each request whose shape is
 * wrong, and goes wrong itself when told to.
 */
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

export interface Received {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Headers;
  /** The body's text; "" without one. */
  text: string;
  /** The address a client reached the server under. */
  origin: string;
}

export interface Reply {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/**
 * What goes wrong with one call.
 * - `instead`: answers this and does nothing. `after`: does it, and answers this instead of the truth. A text as `body`
 *   goes out as it is, with `content-type: text/html`.
 * - `cut`: does nothing and ends the connection within the answer. `lose`: does it, and ends it there too.
 * - `hang`: does nothing and never answers. `slow`: does it and answers `ms` later.
 * - `late`: answers nothing, and does it when `until` resolves. `twice`: is delivered twice; the second answer goes out.
 */
export type ServerFault =
  | { how: "instead" | "after"; status: number; body?: unknown; headers?: Record<string, string> }
  | { how: "cut" | "lose" | "hang" | "twice" }
  | { how: "slow"; ms: number }
  | { how: "late"; until: Promise<void> };

/** `METHOD /path` with `:id` for what varies, e.g. `POST /v2/droplets`, `GET /v2/droplets/:id`. */
export type CallName = string;

export interface ApiServer {
  /** Base address, without a version path. */
  url: string;
  /** What was asked, in order. */
  calls: CallName[];
  /** Requests that the real API would not know what to do with, each with its fault. */
  violations: string[];
  /** The next call of this name goes wrong; faults of one name queue up. */
  failNext(call: CallName, fault: ServerFault): void;
  /**
   * From here on this share of all calls goes wrong: 429 with `Retry-After`, 500, 502, 503, cut, or done with the answer lost.
   * The seed decides which and how. A rate of 0 ends it.
   */
  failAtRandom(options: { rate: number; seed: number }): void;
  /** Resolves when the next call of this name has arrived. */
  arrived(call: CallName): Promise<void>;
  close(): Promise<void>;
}

const HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>";

function faultAt(kind: number): ServerFault {
  const busy = { id: "too_many_requests", message: "API Rate limit exceeded." };
  const faults: ServerFault[] = [
    { how: "instead", status: 429, body: busy, headers: { "retry-after": "1" } },
    { how: "instead", status: 500, body: { id: "server_error", message: "Unexpected server-side error" } },
    { how: "instead", status: 503, body: { id: "unavailable", message: "Try again" }, headers: { "retry-after": "1" } },
    { how: "after", status: 502, body: HTML },
    { how: "cut" },
    { how: "lose" },
  ];
  return faults[kind % faults.length]!;
}

/**
 * @param nameOf the call's name; null for a path the API does not have
 * @param handle does what is asked; what it throws is a {@link Reply}
 */
export function startApiServer(parts: {
  nameOf(method: string, path: string): CallName | null;
  handle(name: CallName, received: Received, violate: (why: string) => void): Promise<Reply> | Reply;
}): ApiServer {
  const faults = new Map<CallName, ServerFault[]>();
  const waiting: { call: CallName; done: () => void }[] = [];
  const calls: CallName[] = [];
  const violations: string[] = [];
  let atRandom: (() => ServerFault | undefined) | null = null;
  let end = () => {};
  const ended = new Promise<void>((resolve) => end = resolve);

  async function answer(request: globalThis.Request): Promise<Response> {
    const url = new URL(request.url);
    const name = parts.nameOf(request.method, url.pathname);
    const received: Received = {
      method: request.method,
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      text: await request.text(),
      origin: url.origin,
    };
    const violate = (why: string) => void violations.push(`${request.method} ${url.pathname}: ${why}`);
    if (name === null) {
      violate("there is no such call");
      return respond({ status: 404, body: { id: "not_found", message: "no such route" } });
    }
    calls.push(name);
    for (const one of waiting.splice(0)) one.call === name ? one.done() : waiting.push(one);
    const effect = () => parts.handle(name, received, violate);
    return await underFault(faults.get(name)?.shift() ?? atRandom?.(), effect);
  }

  async function underFault(fault: ServerFault | undefined, effect: () => Promise<Reply> | Reply): Promise<Response> {
    if (!fault) return respond(await effect());
    if (fault.how === "instead") return respond(fault);
    if (fault.how === "cut") return cut();
    if (fault.how === "hang" || fault.how === "late") {
      if (fault.how === "late") void fault.until.then(effect);
      await ended;
      return cut();
    }
    if (fault.how === "twice") await effect();
    const reply = await effect();
    if (fault.how === "after") return respond(fault);
    if (fault.how === "lose") return cut();
    if (fault.how === "slow") {
      await Promise.race([ended, new Promise<void>((resolve) => Deno.unrefTimer(setTimeout(resolve, fault.ms)))]);
    }
    return respond(reply);
  }

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    calls,
    violations,
    failNext: (call, fault) => void faults.set(call, [...faults.get(call) ?? [], fault]),
    failAtRandom({ rate, seed }) {
      const random = createSeededRandom(seed);
      const next = (): number => random.bytes(1)[0]!;
      atRandom = rate === 0 ? null : () => next() < rate * 256 ? faultAt(next()) : undefined;
    },
    arrived: (call) => new Promise((done) => void waiting.push({ call, done })),
    async close() {
      end();
      await server.shutdown();
    },
  };
}

function respond({ status, body, headers }: Reply): Response {
  const isText = typeof body === "string";
  const text = body === undefined ? null : isText ? body : JSON.stringify(body);
  return new Response(text, {
    status,
    headers: { ...(text !== null && { "content-type": isText ? "text/html" : "application/json" }), ...headers },
  });
}

/** An answer whose connection ends before its body does. */
function cut(): Response {
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      stream.enqueue(new TextEncoder().encode('{"'));
      stream.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/json", "content-length": "1000" } });
}
