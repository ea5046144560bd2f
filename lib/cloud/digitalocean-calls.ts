/** DigitalOcean's API v2 as calls that answer with what was asked for, or throw. */
import { z } from "zod";
import { isNotFound, Page } from "./digitalocean-answers.ts";
import type { Answer, Api, ApiRequest } from "./http.ts";
import { CloudError } from "./port.ts";

/** The most the API gives on one page. */
const PER_PAGE = 200;
/** 10,000 of one kind: an account beyond that needs another way of looking. */
const MAX_PAGES = 50;

export interface Calls {
  /** Any complete answer. @throws {CloudError} */
  send(method: ApiRequest["method"], path: string, json?: unknown): Promise<Answer>;
  /** One object of the answer to a `GET`; null when the API says that it does not exist. @throws {CloudError} */
  one<T>(path: string, root: string, schema: z.ZodType<T>): Promise<T | null>;
  /** Every page of a list. @throws {CloudError} when any of them is missing. */
  all<T>(path: string, root: string, schema: z.ZodType<T>): Promise<T[]>;
  /** How many a list has, without reading it. @throws {CloudError} */
  count(path: string): Promise<number>;
  /** The object in an answer to an order. @throws {CloudError} */
  object<T>(answer: Answer, root: string, schema: z.ZodType<T>): T;
}

/** @param token goes into the `Authorization` header and nowhere else. */
export function createCalls(api: Api, token: string): Calls {
  const authorization = `Bearer ${token}`;
  const send: Calls["send"] = (method, path, json) =>
    api.call({ method, path: `/v2${path}`, authorization, ...(json !== undefined && { json }) });

  /** @throws {CloudError} for anything but a page of the API. */
  async function page(path: string) {
    const answer = await send("GET", path);
    if (answer.status !== 200) throw api.failure(answer);
    const read = Page.safeParse(answer.body);
    if (!read.success) throw api.strange("a list without its links");
    return { answer, page: read.data };
  }

  const object: Calls["object"] = (answer, root, schema) => {
    const read = z.object({ [root]: schema }).safeParse(answer.body);
    if (!read.success) throw api.strange(`no ${root} as it should be`);
    return read.data[root] as z.infer<typeof schema>;
  };

  /** The path of the next page. A link that leads to another server would take the token there. */
  function pathOf(next: string): string {
    const url = URL.parse(next);
    const root = `${api.base}/v2`;
    if (!url || !url.href.startsWith(`${root}/`)) throw api.strange("a list that goes on somewhere else");
    return url.href.slice(root.length);
  }

  return {
    send,
    object,
    async one(path, root, schema) {
      const answer = await send("GET", path);
      if (isNotFound(answer)) return null;
      if (answer.status === 404) throw new CloudError("a 404 that is not DigitalOcean's own proves nothing", true);
      if (answer.status !== 200) throw api.failure(answer);
      return object(answer, root, schema);
    },
    async all(path, root, schema) {
      const found = [];
      let next: string | undefined = `${path}${path.includes("?") ? "&" : "?"}per_page=${PER_PAGE}`;
      for (let pages = 0; next !== undefined; pages++) {
        if (pages === MAX_PAGES) throw api.strange(`a list of more than ${MAX_PAGES} pages`);
        const got: Awaited<ReturnType<typeof page>> = await page(next);
        found.push(...object(got.answer, root, z.array(schema).max(PER_PAGE)));
        const link: string | undefined = got.page.links?.pages?.next;
        next = link === undefined ? undefined : pathOf(link);
      }
      return found;
    },
    async count(path) {
      const { page: { meta } } = await page(`${path}?per_page=1`);
      if (!meta) throw api.strange("a list without its total");
      return meta.total;
    },
  };
}
