/**
 * What a token's caveats allow (wire.md §2). Pure.
 *
 * A caveat is `key=value`; every key takes exactly one spelling of each value. A repeated key may only narrow (repeating it
 * unchanged is fine), and a caveat that is not understood refuses the token: its author wanted a limit nobody here keeps.
 */
import { MAX_SATS } from "@/lib/sats.rules.ts";

export type Capability = "jobs" | "chat";

/** Everything a chain of caveats allows, after all narrowing. */
export interface Permissions {
  /** A route needs its capability named. A token that names none has none, so a minter that forgets them opens nothing. */
  capabilities: ReadonlySet<Capability>;
  /** The first second at which it is no longer good (unix seconds), or null: no end of its own. */
  validUntil: number | null;
  session: string | null;
  job: string | null;
  npub: string | null;
  /** null: any. */
  models: ReadonlySet<string> | null;
  /**
   * Every `max_sats` with its place among the caveats, in order; the sats never rise. `index` counts from 0, so
   * `signatureChain(…)[index + 1]` is the signature every token narrowed from this limit shares: it names the limit's own count.
   */
  maxSats: readonly { index: number; sats: number }[];
}

/** Why a token is refused. `caveat` is the key, when there is one that can be named; the value is never repeated. */
export type CaveatProblem = {
  code: "invalid_token" | "token_expired";
  message: string;
  caveat: string | null;
};

const SERVICE = "timmy:0";
const CAPABILITIES: ReadonlySet<string> = new Set<Capability>(["jobs", "chat"]);

/** Up to the year 5138: eleven digits are seconds, thirteen would be milliseconds taken for seconds. */
const UNIX_SECONDS = /^[1-9]\d{0,10}$/;
const SATS = /^[1-9]\d{0,15}$/;
const ID = /^[\w-]{1,128}$/;
const NPUB = /^npub1[02-9ac-hj-np-z]{58}$/;
const MODEL = /^[\w./:@-]{1,200}$/;
const KEY = /^[a-z][a-z0-9_]{0,63}$/;

/**
 * Reads the caveats of a token whose signature is right, in the order of the chain.
 * @param nowSeconds unix seconds; -Infinity leaves it to {@link expired} to say whether its time is over.
 * @returns a problem with what to say; `token_expired` only for a token that is otherwise sound.
 */
export function readCaveats(
  caveats: readonly string[],
  nowSeconds: number,
): { ok: true; permissions: Permissions } | { ok: false; problem: CaveatProblem } {
  const draft = emptyDraft();
  for (const [index, caveat] of caveats.entries()) {
    const at = caveat.indexOf("=");
    const key = at === -1 ? "" : caveat.slice(0, at);
    const reading = at === -1 ? "shapeless" : take(draft, key, caveat.slice(at + 1), index);
    if (reading !== "fine") return { ok: false, problem: invalid(reading, KEY.test(key) ? key : null) };
  }
  if (!draft.service) return { ok: false, problem: invalid("missing", "services") };
  const { service: _, capabilities, ...rest } = draft;
  const permissions = { capabilities: capabilities ?? new Set<Capability>(), ...rest };
  const problem = expired(permissions, nowSeconds);
  return problem ? { ok: false, problem } : { ok: true, permissions };
}

/**
 * The problem of a sound token whose time is over, or null. It is good before its `timmy_valid_until`, no longer at it (as
 * Aperture has it). @param nowSeconds unix seconds
 */
export const expired = ({ validUntil }: Permissions, nowSeconds: number): CaveatProblem | null =>
  validUntil !== null && nowSeconds >= validUntil ? EXPIRED : null;

/**
 * Writes caveats, for minting and narrowing.
 * @throws {RangeError} when {@link readCaveats} would call the value malformed
 */
export const caveatOf = {
  services: (): string => written("services", SERVICE),
  capabilities: (capabilities: readonly Capability[]): string => written("timmy_capabilities", capabilities.join(",")),
  /** @param unixSeconds whole seconds, not milliseconds */
  validUntil: (unixSeconds: number): string => written("timmy_valid_until", String(unixSeconds)),
  session: (id: string): string => written("session", id),
  job: (id: string): string => written("job", id),
  /** @param npub in bech32, not hex (NIP-19) */
  npub: (npub: string): string => written("npub", npub),
  maxSats: (sats: number): string => written("max_sats", String(sats)),
  /** One name or several: any of these. */
  model: (...names: readonly string[]): string => written("model", names.join(",")),
} as const;

interface Draft {
  service: boolean;
  capabilities: ReadonlySet<Capability> | null;
  validUntil: number | null;
  session: string | null;
  job: string | null;
  npub: string | null;
  models: ReadonlySet<string> | null;
  maxSats: { index: number; sats: number }[];
}

const emptyDraft = (): Draft => ({
  service: false,
  capabilities: null,
  validUntil: null,
  session: null,
  job: null,
  npub: null,
  models: null,
  maxSats: [],
});

type Reading = "fine" | "malformed" | "wider" | "unknown" | "elsewhere";

/** Takes one more caveat into the draft. @param index its place among the caveats */
function take(draft: Draft, key: string, value: string, index: number): Reading {
  switch (key) {
    case "services":
      if (value !== SERVICE) return "elsewhere";
      draft.service = true;
      return "fine";
    case "timmy_capabilities": {
      const names = list(value, isCapability);
      if (names === null) return "malformed";
      if (!within(names, draft.capabilities)) return "wider";
      draft.capabilities = names;
      return "fine";
    }
    case "timmy_valid_until": {
      if (!UNIX_SECONDS.test(value)) return "malformed";
      const until = Number(value);
      if (draft.validUntil !== null && until > draft.validUntil) return "wider";
      draft.validUntil = until;
      return "fine";
    }
    case "max_sats": {
      const sats = Number(value);
      if (!SATS.test(value) || sats > MAX_SATS) return "malformed";
      if (sats > (draft.maxSats.at(-1)?.sats ?? sats)) return "wider";
      draft.maxSats.push({ index, sats });
      return "fine";
    }
    case "model": {
      const names = list(value, isModelName);
      if (names === null) return "malformed";
      if (!within(names, draft.models)) return "wider";
      draft.models = names;
      return "fine";
    }
    case "session":
    case "job":
    case "npub":
      if (!(key === "npub" ? NPUB : ID).test(value)) return "malformed";
      if (draft[key] !== null && draft[key] !== value) return "wider";
      draft[key] = value;
      return "fine";
    default:
      return "unknown";
  }
}

/** A comma list without blanks or repetitions, or null. */
function list<T extends string>(value: string, isItem: (item: string) => item is T): ReadonlySet<T> | null {
  const items = value.split(",");
  const names = new Set(items.filter(isItem));
  return names.size === items.length ? names : null;
}

const within = <T>(names: ReadonlySet<T>, before: ReadonlySet<T> | null): boolean =>
  before === null || [...names].every((name) => before.has(name));

const isCapability = (name: string): name is Capability => CAPABILITIES.has(name);
const isModelName = (name: string): name is string => MODEL.test(name);

function written(key: string, value: string): string {
  if (take(emptyDraft(), key, value, 0) !== "fine") throw new RangeError(`the value of ${key} makes no caveat`);
  return `${key}=${value}`;
}

const MESSAGES: Record<Exclude<Reading, "fine"> | "shapeless" | "missing", string> = {
  shapeless: "A caveat of the token is not of the form key=value.",
  unknown: "The token has a caveat this server does not understand. Use a token without it.",
  malformed: "A caveat of the token has a value that is not of its form.",
  wider: "A caveat of the token is repeated with a value that allows more than before; it may only narrow.",
  elsewhere: "The token is for another service.",
  missing: "The token does not name this service.",
};

function invalid(reason: keyof typeof MESSAGES, caveat: string | null): CaveatProblem {
  const named = caveat === null ? "" : ` (${caveat})`;
  return { code: "invalid_token", message: MESSAGES[reason] + named, caveat };
}

const EXPIRED: CaveatProblem = {
  code: "token_expired",
  message: "The token has expired. Pay for a new one, or use the one this was narrowed from.",
  caveat: "timmy_valid_until",
};
