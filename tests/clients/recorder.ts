/** Stands between a client and the instance and keeps what each said: a client that fails is judged by its requests. */

export interface Exchange {
  method: string;
  path: string;
  body: string;
  status: number;
  answer: string;
}

export interface Recorder {
  url: string;
  /** All so far, in the order of the requests; waits for the ends of their answers. */
  exchanges(): Promise<Exchange[]>;
  stop(): Promise<void>;
}

/** Headers that speak of one connection, or that `fetch` writes itself. */
const OWN_HEADERS = ["host", "connection", "keep-alive", "content-length", "transfer-encoding", "expect"];

export function record(target: string): Recorder {
  const exchanges: Promise<Exchange>[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const { method } = request;
    const body = await request.text();
    const headers = new Headers(request.headers);
    for (const name of OWN_HEADERS) headers.delete(name);
    const answer = await fetch(target + pathname + search, {
      method,
      headers,
      redirect: "manual",
      signal: request.signal, // a client that hangs up has hung up on the instance too
      ...(body !== "" && { body }),
    });
    const [forClient, kept] = answer.body?.tee() ?? [null, null];
    // What an aborted answer brought until then is not kept.
    const text = new Response(kept).text().catch(() => "");
    exchanges.push(
      text.then((text) => ({ method, path: pathname + search, body, status: answer.status, answer: text })),
    );
    return new Response(forClient, { status: answer.status, headers: answer.headers });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    exchanges: () => Promise.all(exchanges),
    stop: () => server.shutdown(),
  };
}
