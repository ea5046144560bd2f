/** Words that break parsers: whatever is sent, the answer is never a fault of ours. */
import { type Attack, openSession, tally, type Target } from "./attack.ts";
import { head, openWire } from "./sockets.ts";

const CHAT = "/api/v1/chat/completions";
const MODEL = `"model":"claude-sonnet-4-6"`;
const bytes = (text: string) => new TextEncoder().encode(text);
const user = (content: string, rest = "") => `{${MODEL},"messages":[{"role":"user","content":${content}}]${rest}}`;
const deep = (open: string, close: string, times: number) => open.repeat(times) + close.repeat(times);
const withByte = (byte: number) =>
  Uint8Array.from([...bytes(`{${MODEL},"messages":[{"role":"user","content":"caf`), byte, ...bytes(`"}]}`)]);

/** Bodies that are wrong, odd, or huge, by what they are. */
const BODIES: Readonly<Record<string, string | Uint8Array<ArrayBuffer>>> = {
  "half of a surrogate pair": user(String.raw`"bad \ud83d end"`),
  "a pair the wrong way round": user(String.raw`"\udd14\ud83d"`),
  "a byte of Latin-1": withByte(0xe9) as Uint8Array<ArrayBuffer>,
  "a byte that never stands in UTF-8": withByte(0xff) as Uint8Array<ArrayBuffer>,
  "UTF-16": Uint8Array.from([0xff, 0xfe, ...[...user('"hi"')].flatMap((c) => [c.charCodeAt(0), 0])]),
  "a byte order mark": `\ufeff${user('"hi"')}`,
  "a blank without width": user(String.raw`"\u200b"`),
  "NUL": user(String.raw`"\u0000"`),
  "a right-to-left override": user(String.raw`"\u202e\u2066abc"`),
  "10,000 marks on one letter": user(`"a${"\u0301".repeat(10_000)}"`),
  "our own refusal in the history":
    `{${MODEL},"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"refusal":"no"},{"role":"user","content":"again"}]}`,
  "the official client's own message":
    `{${MODEL},"messages":[{"role":"assistant","content":"hi","refusal":null,"annotations":[],"audio":null,"parsed":null},{"role":"user","content":"again"}]}`,
  "fields of other clients": user('"hi"', `,"user":null,"tools":[],"seed":7,"top_p":0.9,"n":1,"logprobs":null`),
  "a name": `{${MODEL},"messages":[{"role":"user","name":"x","content":"hi"}]}`,
  "500,000 lists in each other": deep("[", "]", 250_000),
  "30,000 lists in each other": deep("[", "]", 15_000),
  "objects in each other": deep('{"a":', "}", 10_000).replace(":}", ":1}"),
  "lists inside the content": user(deep("[", "]", 10_000)),
  "lists without an end": "[".repeat(60_000),
  "nothing": "",
  "blanks": "   ",
  "null": "null",
  "a number": "1e999",
  "a list": "[]",
  "a text": '"hi"',
  "an endless text": '"' + "a".repeat(60_000),
  "numbers beyond all": user('"hi"', `,"max_tokens":1e400,"temperature":-1e400,"amount_sats":99999999999999999999`),
  "numbers that are none": user('"hi"', `,"max_tokens":NaN`),
  "a fraction of a sat": '{"amount_sats":100.5,"request":"hi"}',
  "less than nothing": '{"amount_sats":-100,"request":"hi","max_tokens":-1}',
  "a prototype": '{"__proto__":{"request":"hi"},"constructor":{"prototype":{}},"request":"hi"}',
  "the same field twice": '{"request":"hi","request":["x"],"amount_sats":100,"amount_sats":{}}',
  "a thousand fields": `{${Array.from({ length: 1_000 }, (_, n) => `"f${n}":${n}`).join()}}`,
  "a thousand messages": `{${MODEL},"messages":[${Array(1_000).fill('{"role":"user","content":"x"}').join()}]}`,
  "SQL and templates": user(String.raw`"'; DROP TABLE jobs; -- {{7*7}} \${7*7} %s%n <script>"`),
  "a form": "request=hi&amount_sats=100",
  "an invoice of a stranger": '{"invoice":"lnbcrt1p","preimage":"00"}',
  "an endless invoice": `{"invoice":"lnbcrt${"q".repeat(60_000)}"}`,
};
const ROUTES = [
  CHAT,
  "/api/jobs",
  "/api/sessions",
  "/api/identity/verify",
  "/api/free-tier/donate",
  "/api/lightning/webhook",
  "/api/jobs/x/refund",
];

/** Heads that a client does not send. Each is a whole request up to its body. */
const HEADS: Readonly<Record<string, string>> = {
  "a Host with a path and a query": "GET /api/identity/me HTTP/1.1\r\nHost: x/api/health?\r\n\r\n",
  "a Host with a fragment": "GET /api/identity/me HTTP/1.1\r\nHost: x/api/health#\r\n\r\n",
  "a Host with a user": "GET /api/identity/me HTTP/1.1\r\nHost: a@b\r\n\r\n",
  "a Host with a backslash": "GET /api/identity/me HTTP/1.1\r\nHost: x\\api\\health?\r\n\r\n",
  "a Host with blanks": "GET /api/identity/me HTTP/1.1\r\nHost: a b\r\n\r\n",
  "half an IPv6 Host": "GET /api/identity/me HTTP/1.1\r\nHost: [::1\r\n\r\n",
  "a port beyond all": "GET /api/identity/me HTTP/1.1\r\nHost: x:99999\r\n\r\n",
  "an empty Host": "GET /api/identity/me HTTP/1.1\r\nHost:\r\n\r\n",
  "no Host": "GET /api/identity/me HTTP/1.1\r\n\r\n",
  "two Hosts": "GET /api/identity/me HTTP/1.1\r\nHost: a\r\nHost: x/api/health?\r\n\r\n",
  "another authority in the line": "GET http://x/api/health?/api/identity/me HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
  "a broken escape": head("GET /api/jobs/%ff%zz%"),
  "NUL in the path": head("GET /api/jobs/%00"),
  "dots in the path": head("GET /api/../../etc/passwd"),
  "encoded dots": head("GET /api/jobs/%2e%2e%2f%2e%2e%2fhealth"),
  "a path of 30,000 letters": head(`GET /api/jobs/${"a".repeat(30_000)}`),
  "a query of 30,000 letters": head(`GET /api/estimate?request=${"a".repeat(30_000)}`),
  "a broken query": head("GET /api/estimate?request=%ff&request=%ud83d&model=%00"),
  "a page that is none": head("GET /api/v1/models/%F0%9F%92%A9%00"),
  "an unknown method": head("BREW /api/jobs"),
  "TRACE": head("TRACE /api/jobs"),
  "CONNECT": head("CONNECT 127.0.0.1:22"),
  "a length and pieces": head("POST /api/jobs", { "Content-Length": 4, "Transfer-Encoding": "chunked" }) + "0\r\n\r\n",
  "two lengths": head("POST /api/jobs", { "Content-Length": "4, 5" }) + "null",
  "a length below nothing": head("POST /api/jobs", { "Content-Length": -1 }),
  "pieces that are none": head("POST /api/jobs", { "Transfer-Encoding": "chunked" }) + "zz\r\n{}\r\n",
  "a body that is not gzip":
    head("POST /api/jobs", { "Content-Type": "application/json", "Content-Encoding": "gzip", "Content-Length": 4 }) +
    "null",
  "another character set":
    head("POST /api/jobs", { "Content-Type": "application/json; charset=utf-16", "Content-Length": 4 }) + "null",
  "a content type that is none":
    head("POST /api/jobs", { "Content-Type": "application/json;;;=", "Content-Length": 4 }) + "null",
  "a form of parts": head("POST /api/jobs", { "Content-Type": "multipart/form-data", "Content-Length": 4 }) + "null",
  "a key of 10,000 letters": head("POST /api/jobs", {
    "Idempotency-Key": "k".repeat(10_000),
    "Content-Type": "application/json",
    "Content-Length": 16,
  }) + `{"request":"hi"}`,
  "a key beyond ASCII": head("POST /api/jobs", {
    "Idempotency-Key": "\u00e9\u200b",
    "Content-Type": "application/json",
    "Content-Length": 16,
  }) + `{"request":"hi"}`,
  "a token that is none": head("GET /api/identity/me", { Authorization: "L402 AAAA:zz", "X-Nostr-Token": "x.y.z" }),
  "a macaroon cut short": head(`POST ${CHAT}`, {
    Authorization: "L402 AgEFdGltbXkCQgAA:00",
    "Content-Type": "application/json",
    "Content-Length": 2,
  }) + "{}",
  "a NIP-98 event that is none": head("GET /api/identity/me", {
    Authorization: `Nostr ${btoa('{"id":{},"tags":"x"}')}`,
  }),
  "a chain of 1,000 proxies": head("GET /api/health/ready", {
    "X-Forwarded-For": "1.1.1.1, ".repeat(1_000) + "::ffff:x%",
  }),
  "an origin that is none": head("GET /api/health", {
    Origin: "null://\u00ff",
    "Access-Control-Request-Method": "\u00ff",
  }),
};
/** Past the checks of the path it was for, a request would be answered by another route. */
const HEALTH = /"status":\s*"ok"/;

const ANSWER_MS = 5_000;

/** @returns the status; 0 where the connection was closed without one, -1 where nothing came in time. */
async function raw(target: Target, text: string): Promise<{ status: number; text: string }> {
  const wire = await openWire(target.port, text);
  const end = performance.now() + ANSWER_MS;
  while (wire.status === 0 && !wire.closed && performance.now() < end) await new Promise((r) => setTimeout(r, 5));
  const status = wire.status === 0 && !wire.closed ? -1 : wire.status;
  if (status > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  const said = { status, text: wire.text };
  wire.close();
  return said;
}

/** Callers of their own, so that no limit answers in the place of the route. */
const from = (n: number) => `198.51.100.${n % 250 + 1}`;

export const wordAttack: Attack = {
  name: "words: odd Unicode, Hosts, nested JSON, wrong encodings",
  limitMs: 90_000,
  keptMegabytes: 40,
  async run(target) {
    const { headers: token } = await openSession(target, 2_000, "198.51.100.254");
    const statuses: number[] = [];
    const faults: string[] = [];
    let slowest = { ms: 0, what: "" };
    const note = (what: string, status: number, begun: number) => {
      statuses.push(status);
      const ms = performance.now() - begun;
      if (ms > slowest.ms) slowest = { ms, what };
      if (status >= 500) faults.push(`${what}: ${status}`);
    };
    let n = 0;
    for (const [what, body] of Object.entries(BODIES)) {
      for (const route of ROUTES) {
        for (const headers of route === CHAT ? [{}, token] : [{}]) {
          const begun = performance.now();
          const { status } = await target.call("POST", route, { body, headers, from: from(n++) });
          note(`${what} to ${route}`, status, begun);
          if (status === 0) faults.push(`${what} to ${route}: no answer`);
        }
      }
    }
    const silent: string[] = [];
    for (const [what, text] of Object.entries(HEADS)) {
      const begun = performance.now();
      const said = await raw(target, text);
      note(what, said.status, begun);
      if (said.status === -1) silent.push(what);
      if (/Host/.test(what) && HEALTH.test(said.text)) faults.push(`${what}: answered by another route`);
    }
    const { status } = await target.call("GET", "/api/health", { from: from(0) });
    if (status !== 200) faults.push(`afterwards, health: ${status}`);
    const most = `slowest ${slowest.ms.toFixed(0)} ms (${slowest.what})`;
    const without = silent.length === 0 ? "" : `; no word within 5 s: ${silent.join(", ")}`;
    const found = faults.length === 0 ? "no 5xx" : `FAULTS: ${faults.join("; ")}`;
    const figures = `${statuses.length} inputs, ${tally(statuses)}; ${most}${without}; ${found}`;
    return { ok: faults.length === 0 && silent.length === 0 && slowest.ms < ANSWER_MS, figures };
  },
};
