import { z } from "zod";
import { isAddress, isPublicAddress, isPublicName } from "@/lib/http/public-address.rules.ts";
import { parsePrivateKey } from "@/lib/nostr/instance-key.ts";
import { parseTrustedProxies } from "@/middlewares/client-address.ts";

/** The kinds of values a setting may have: each takes the text of a variable and says what it must be. */

/** A finite number in a range, written in decimal digits. Never `Number("")`, never a silent NaN. */
export const number = (min: number, max: number) =>
  z.string().transform((text, context) => {
    const value = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    context.addIssue({ code: "custom", message: `must be a number from ${min} to ${max}` });
    return z.NEVER;
  });

export const whole = (min: number, max: number) =>
  z.string().transform((text, context) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    context.addIssue({ code: "custom", message: `must be a whole number from ${min} to ${max}` });
    return z.NEVER;
  });

/** A name or password in an address would be shown wherever the address is. */
function plainUrl(text: string): URL | null {
  const url = /^[\x21-\x7e]+$/.test(text) && !/[\\#]/.test(text) ? URL.parse(text) : null;
  return url && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" ? url : null;
}
export const url = z.string().refine(
  (text) => plainUrl(text) !== null,
  "must be an http(s) address without blanks, user, password or #fragment in it",
);

/** One that the guarded fetcher reaches: what it would refuse at the first call is better said at the start. */
export const publicUrl = z.string().refine((text) => {
  const url = plainUrl(text);
  const host = url?.hostname.replace(/^\[(.*)\]$/, "$1") ?? "";
  return url?.protocol === "https:" && (isAddress(host) ? isPublicAddress(host) : isPublicName(host));
}, "must be an https address of a host on the public internet, without user, password or #fragment in it");

/** An address that paths are put behind: a query would swallow them. @returns it without a slash at its end. */
const base = (what: string, isWrong: (path: string) => boolean = () => false) =>
  z.string().transform((text, context) => {
    const parsed = text.includes("?") ? null : plainUrl(text);
    if (parsed && !isWrong(parsed.pathname)) return `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
    context.addIssue({
      code: "custom",
      message: `must be ${what}, without blanks, user, password, ?query or #fragment`,
    });
    return z.NEVER;
  });
export const server = base("an http(s) address");
export const lnbits = base(
  "the address of the LNbits server, such as https://lnbits.example, not of a page or its API",
  (path) => /\/(wallet|api|payments|extensions)(\/|$)/i.test(path),
);
export const modelServer = base(
  "an http(s) address up to the version, such as http://127.0.0.1:11434/v1",
  (path) => /\/(chat|completions|models)(\/|$)/i.test(path),
);
export const origin = base("an origin (scheme, host and port, nothing behind it)", (path) => path !== "/");

/** An IPv6 address stands in brackets in a URL. */
export const originOf = (host: string, port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`;

/** Where a process that listens on `host` is reached from this machine. */
export const listenedOn = (host: string) => host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;

const list = z.string().transform((text) => text.split(",").map((part) => part.trim()).filter((part) => part !== ""));
export const proxies = list.transform((entries, context) => {
  try {
    return parseTrustedProxies(entries);
  } catch {
    context.addIssue({ code: "custom", message: "must be addresses or CIDR ranges, separated by commas" });
    return z.NEVER;
  }
});
const isOrigin = (text: string) => URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text;
export const origins = list.refine(
  (entries) => entries.length > 0 && (entries.every(isOrigin) || (entries.length === 1 && entries[0] === "*")),
  "must be * or origins (scheme, host and port, nothing behind it), separated by commas",
);
export const host = z.string().refine(
  (text) => /^[\w.:-]+$/.test(text) && URL.canParse(originOf(text, 1)),
  "must be a host name or address",
);
export const text = z.string().max(2_000);
/** Goes into a header, which holds no blanks and nothing beyond ASCII: better said at the start than at the first call. */
export const key = z.string().regex(/^[\x21-\x7e]{1,2000}$/, "must be a key: letters, digits and signs, no blanks");
/** A path that the system's own limit on Unix sockets allows. */
export const socket = z.string().regex(/^[\x21-\x7e]{1,100}$/, "must be a file name or path of at most 100 characters");
export const nostrKey = z.string().transform((text, context) => {
  const secret = parsePrivateKey(text);
  if (secret) return secret;
  context.addIssue({ code: "custom", message: "must be a Nostr private key: nsec1… or 64 hex digits" });
  return z.NEVER;
});
export const modelName = z.string().regex(/^[\w./:@-]{1,200}$/, "must be a model's name");
export const models = list.refine(
  (names) => names.length > 0 && names.every((name) => modelName.safeParse(name).success),
  "must be names of models, separated by commas",
);
/** A provider's short name of a region or a size of machine. */
export const slug = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/, "must be a short name such as nyc3 or s-4vcpu-8gb");
export const tailnet = z.string().regex(/^(-|[\w.@-]{1,200})$/, "must be the tailnet's name, or - for the key's own");
/** One secret, or several while they are rotated: the first signs, all of them verify. */
export const secrets = list.refine(
  (entries) => entries.length > 0 && entries.every((entry) => /^[0-9a-f]{64,}$/i.test(entry) && entry.length % 2 === 0),
  "must be 32 or more random bytes as hex digits (several, separated by commas, while they are rotated)",
);
export const MAX_SATS = 100_000_000;
export const MAX_USD = 1e9;
