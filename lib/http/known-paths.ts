import { TrieRouter } from "hono/router/trie-router";

interface Route {
  method: string;
  path: string;
}

/** What a router has routes for, to tell a caller whose request fits none of them. */
export interface KnownPaths {
  /** The methods that `path` has a route for, HEAD beside GET; empty for an unknown path. */
  methodsOf(path: string): string[];
  /** `POST /api/v1/chat/completions` and the like: every route below a path. */
  below(prefix: string): string[];
}

/** @param routes as hono lists them; what is for any method is a middleware and no route. */
export function createKnownPaths(routes: readonly Route[]): KnownPaths {
  const ours = routes.filter(({ method }) => method !== "ALL");
  const methods = [...new Set(ours.map(({ method }) => method))];
  const router = new TrieRouter<string>();
  for (const { method, path } of ours) router.add(method, path, method);
  return {
    methodsOf: (path) =>
      methods.filter((method) => router.match(method, path)[0].length > 0)
        .flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]),
    below: (prefix) => [
      ...new Set(
        ours.filter(({ path }) => path.startsWith(prefix))
          .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}")}`),
      ),
    ],
  };
}
