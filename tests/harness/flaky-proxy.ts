/** A proxy in front of a server, with the faults a network and a broken backend have. Listens on loopback. */
export interface FlakyProxy {
  url: string;
  /** What happens to requests from now on; null: nothing. Asked for each one. */
  fault: ((request: { method: string; path: string; body: string }) => Fault | null) | null;
  /** Refuses websockets and cuts those that stand. */
  cutWebsockets(cut: boolean): void;
  websockets(): number;
  close(): Promise<void>;
}

/** `before`: answers 500 and passes nothing on. `after`: passes it on, and the answer is lost with the connection. */
export type Fault = "error-before" | "lose-after";

export function startFlakyProxy(target: string): FlakyProxy {
  const open = new Set<WebSocket>();
  let noWebsockets = false;

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") return relay(request, url);
    const body = await request.text();
    const fault = proxy.fault?.({ method: request.method, path: url.pathname, body }) ?? null;
    if (fault === "error-before") return Response.json({ detail: "the server is not well" }, { status: 500 });
    const headers = new Headers(request.headers);
    headers.delete("host");
    headers.delete("content-length");
    let answer: Response;
    try {
      answer = await fetch(target + url.pathname + url.search, {
        method: request.method,
        headers,
        ...(request.method !== "GET" && { body }),
      });
    } catch {
      return new Response("the server does not answer", { status: 502 });
    }
    const bytes = await answer.arrayBuffer();
    if (fault === "lose-after") {
      return new Response(new ReadableStream({ start: (controller) => controller.error(new Error("cut")) }));
    }
    return new Response(bytes, { status: answer.status, headers: { "content-type": "application/json" } });
  });

  function relay(request: Request, url: URL): Response {
    if (noWebsockets) return new Response("no websockets", { status: 503 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    const upstream = new WebSocket(target.replace(/^http/, "ws") + url.pathname);
    open.add(socket);
    upstream.onmessage = (event) => socket.readyState === WebSocket.OPEN && socket.send(event.data);
    upstream.onclose = upstream.onerror = () => socket.readyState === WebSocket.OPEN && socket.close();
    socket.onclose = () => {
      open.delete(socket);
      upstream.close();
    };
    return response;
  }

  const proxy: FlakyProxy = {
    url: `http://127.0.0.1:${server.addr.port}`,
    fault: null,
    cutWebsockets(cut) {
      noWebsockets = cut;
      if (cut) { for (const socket of open) socket.close(); }
    },
    websockets: () => open.size,
    close: async () => {
      noWebsockets = true;
      for (const socket of open) socket.close();
      await server.shutdown();
    },
  };
  return proxy;
}
