/** Ways to spoil a signed event, each with why it must be refused, for every place where events come in. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { finalizeEvent } from "nostr-tools/pure";
import type { Random } from "@/lib/ids.ts";
import { ALICE, forge, MALLORY, sign, type Template, toBase64 } from "@/tests/fixtures/nostr/sign.ts";
import type { NostrEvent } from "../event.ts";
import type { Nip98Fault, Nip98Request } from "../nip98.ts";
import type { SignInFault, SignInRequest } from "../sign-in.ts";

/** The public origin that the good events are signed for. */
export const ORIGIN = "https://timmy.example";

/** A request and a sign-in that pass with this event. */
export interface Good {
  template: Template;
  event: NostrEvent;
  request: Omit<Nip98Request, "header">;
  signIn: Omit<SignInRequest, "event">;
}

export interface Given {
  method?: string;
  /** Path and query. */
  target?: string;
  body?: Uint8Array | null;
  /** Seconds since the epoch. */
  createdAt?: number;
  nonce?: string;
}

/** What an alteration sends, and why each door must refuse it; null: this door has no reason to. */
export interface Altered {
  event: unknown;
  header?: string;
  request?: Partial<Nip98Request>;
  signIn?: Partial<SignInRequest>;
  nip98: Nip98Fault | null;
  signInFault: SignInFault | null;
}

/** After the event's id was made wrong. */
const WRONG_ID = { nip98: "nip98_id", signInFault: "event_id" } as const;
const WRONG_SIGNATURE = { nip98: "nip98_signature", signInFault: "event_signature" } as const;
const MALFORMED = { nip98: "nip98_malformed", signInFault: "event_malformed" } as const;

export interface Alterations {
  good(given?: Given): Good;
  names: readonly string[];
  alter(name: string, good: Good): Altered;
}

/** One event is good as a NIP-98 credential and as an answer to a challenge, so both see every alteration. */
export function createAlterations(random: Random): Alterations {
  const below = (max: number) => new DataView(random.bytes(4).buffer).getUint32(0) % max;
  const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T;
  const hex = (bytes: number) => bytesToHex(random.bytes(bytes));

  /** What is not given is random; `body` null: none, and no payload. */
  function good(given: Given = {}): Good {
    const body = given.body === undefined ? random.bytes(1 + below(40)) : given.body;
    const url = ORIGIN + (given.target ?? `/api/${hex(3)}?q=${hex(2)}`);
    const method = given.method ?? pick(["POST", "PUT", "PATCH"]);
    const created_at = given.createdAt ?? 1_600_000_000 + below(200_000_000);
    const tags = [["u", url], ["method", method], ["challenge", given.nonce ?? hex(32)]];
    if (body !== null) tags.splice(2, 0, ["payload", bytesToHex(sha256(body))]);
    const template: Template = { kind: 27_235, created_at, content: "", tags };
    const now = created_at * 1000;
    const event = sign(template);
    return {
      template,
      event,
      request: { method, url, body, now },
      signIn: { pubkey: event.pubkey, publicOrigin: ORIGIN, now },
    };
  }

  const otherDigit = (digit: string) => pick([..."0123456789abcdef"].filter((other) => other !== digit.toLowerCase()));
  function flipDigit(text: string): string {
    const at = below(text.length);
    return text.slice(0, at) + otherDigit(text.charAt(at)) + text.slice(at + 1);
  }
  function flipBit(bytes: Uint8Array): Uint8Array {
    const copy = bytes.slice();
    const at = below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << below(8));
    return copy;
  }
  const shiftSeconds = (from: number, to: number) => pick([-1, 1]) * (from + below(to - from + 1));
  const resign = (template: Template, part: Partial<Template>) => sign({ ...template, ...part });
  const withoutTag = (tags: string[][], name: string) => tags.filter((tag) => tag[0] !== name);
  const doubleTag = (tags: string[][], name: string) => [...tags, ...tags.filter((tag) => tag[0] === name)];
  const replaceTag = (tags: string[][], name: string, value: string) =>
    tags.map((tag) => tag[0] === name ? [name, value] : tag);
  const TAGS = ["u", "method", "payload", "challenge"] as const;
  /** What NIP-98 finds when one of them holds something else; our challenge it does not read. */
  const FAULT_OF_TAG = {
    u: "nip98_url",
    method: "nip98_method",
    payload: "nip98_payload",
    challenge: "nip98_id",
  } as const;

  const ALTERATIONS: Record<string, (good: Good) => Altered> = {
    "id": ({ event }) => ({ event: { ...event, id: flipDigit(event.id) }, ...WRONG_ID }),
    "public key": ({ event }) => ({ event: { ...event, pubkey: flipDigit(event.pubkey) }, ...WRONG_ID }),
    "signature": ({ event }) => ({ event: { ...event, sig: flipDigit(event.sig) }, ...WRONG_SIGNATURE }),
    "time": ({ event }) => ({ event: { ...event, created_at: event.created_at + shiftSeconds(1, 60) }, ...WRONG_ID }),
    "kind": ({ event }) => ({
      event: { ...event, kind: 22_242 },
      nip98: "nip98_kind",
      signInFault: "event_id",
    }),
    "content": ({ event }) => ({ event: { ...event, content: hex(below(40)) + "x" }, ...WRONG_ID }),
    "a letter of a tag": ({ event }) => {
      const name = pick(TAGS);
      const tags = event.tags.map(([tag = "", value = ""]) => [tag, tag === name ? flipDigit(value) : value]);
      return { event: { ...event, tags }, nip98: FAULT_OF_TAG[name], signInFault: "event_id" };
    },
    "a tag removed": ({ event }) => {
      const name = pick(TAGS);
      const nip98 = name === "challenge" ? "nip98_id" : name === "payload" ? "nip98_payload" : "nip98_tags";
      return { event: { ...event, tags: withoutTag(event.tags, name) }, nip98, signInFault: "event_id" };
    },
    "a tag doubled": ({ event }) => {
      const name = pick(TAGS);
      const nip98 = name === "challenge" ? "nip98_id" : "nip98_tags";
      return { event: { ...event, tags: doubleTag(event.tags, name) }, nip98, signInFault: "event_id" };
    },
    "tags in another order": ({ event }) => {
      const turns = 1 + below(event.tags.length - 1);
      return { event: { ...event, tags: [...event.tags.slice(turns), ...event.tags.slice(0, turns)] }, ...WRONG_ID };
    },
    "a tag more": ({ event }) => ({ event: { ...event, tags: [...event.tags, ["nonce", hex(4)]] }, ...WRONG_ID }),
    "a field removed": ({ event }) => {
      const { [pick(Object.keys(event) as (keyof NostrEvent)[])]: _, ...rest } = event;
      return { event: rest, ...MALFORMED };
    },
    "a field more": ({ event }) => ({ event: { ...event, [hex(3)]: hex(3) }, ...MALFORMED }),
    "a field of another type": ({ event }) => {
      const field = pick(Object.keys(event) as (keyof NostrEvent)[]);
      return { event: { ...event, [field]: pick([null, true, -1, 0.5, {}, [event[field]]]) }, ...MALFORMED };
    },
    "capitals": ({ event }) => {
      const field = pick(["id", "pubkey", "sig"] as const);
      return { event: { ...event, [field]: `${event[field].slice(0, -1)}A` }, ...MALFORMED };
    },
    "signed again: kind": ({ template }) => ({
      event: resign(template, { kind: pick([0, 1, 4, 22_241, 27_234, 30_023]) }),
      nip98: "nip98_kind",
      signInFault: "event_kind",
    }),
    "signed again: a tag removed": ({ template }) => {
      const name = pick(TAGS);
      return {
        event: resign(template, { tags: withoutTag(template.tags, name) }),
        nip98: name === "challenge" ? null : name === "payload" ? "nip98_payload" : "nip98_tags",
        signInFault: name === "challenge" ? "challenge_missing" : null,
      };
    },
    "signed again: a tag doubled": ({ template }) => {
      const name = pick(TAGS);
      return {
        event: resign(template, { tags: doubleTag(template.tags, name) }),
        nip98: name === "challenge" ? null : "nip98_tags",
        signInFault: name === "challenge" ? "challenge_mismatch" : null,
      };
    },
    "signed again: another server": ({ template, request }) => ({
      event: resign(template, { tags: replaceTag(template.tags, "u", request.url.replace("timmy", "evil")) }),
      nip98: "nip98_url",
      signInFault: "event_origin",
    }),
    "signed again: another nonce in the content": ({ template }) => ({
      event: resign(template, { content: hex(32), tags: [...template.tags, ["u", "x"]] }),
      nip98: "nip98_tags",
      signInFault: "challenge_mismatch",
    }),
    "signed again: an hour off": ({ template }) => ({
      event: resign(template, { created_at: template.created_at + shiftSeconds(301, 3_600) }),
      nip98: "nip98_time",
      signInFault: "event_time",
    }),
    "signed by another key, with the old public key": ({ event }) => ({
      event: forge(event, MALLORY),
      ...WRONG_SIGNATURE,
    }),
    "the signature of another event of the same key": ({ template, event }) => ({
      event: { ...event, sig: resign(template, { content: hex(2) }).sig },
      ...WRONG_SIGNATURE,
    }),
    "key, id and signature of somebody else's event": ({ template, event }) => {
      const { pubkey, id, sig } = sign({ ...template, content: hex(2) }, MALLORY);
      const signInFault = "event_id";
      return { event: { ...event, pubkey, id, sig }, nip98: "nip98_id", signInFault };
    },
    "a changed copy of an object marked as verified": ({ template }) => {
      const marked = finalizeEvent(structuredClone(template), ALICE);
      const { pubkey } = sign(template, MALLORY);
      return { event: { ...marked, ...pick([{ content: hex(2) }, { pubkey }]) }, ...WRONG_ID };
    },
    "another URL": ({ event, request }) => ({
      event,
      request: { url: pick([`${request.url}0`, request.url.replace("?", "/?"), request.url.slice(0, -2)]) },
      nip98: "nip98_url",
      signInFault: null,
    }),
    "another method": ({ event, request }) => ({
      event,
      request: { method: pick(["GET", "DELETE", `${request.method}S`]) },
      nip98: "nip98_method",
      signInFault: null,
    }),
    "another body": ({ event, request }) => {
      const body = request.body ?? new Uint8Array(1);
      return {
        event,
        request: { body: pick([flipBit(body), body.slice(1), null, new Uint8Array([...body, 0])]) },
        nip98: "nip98_payload",
        signInFault: null,
      };
    },
    "a clock 61 s off": ({ event, request }) => ({
      event,
      request: { now: request.now + pick([-61_000, 61_000]) },
      nip98: "nip98_time",
      signInFault: null,
    }),
    "a clock 301 s off": ({ event, request }) => {
      const now = request.now + pick([-301_000, 301_000]);
      return { event, request: { now }, signIn: { now }, nip98: "nip98_time", signInFault: "event_time" };
    },
    "another public origin": ({ event, request }) => {
      const publicOrigin = pick(["http://timmy.example", "https://timmy.example:1", "https://other.example"]);
      const url = request.url.replace(ORIGIN, publicOrigin);
      return { event, request: { url }, signIn: { publicOrigin }, nip98: "nip98_url", signInFault: "event_origin" };
    },
    "another key claimed": ({ event }) => ({
      event,
      signIn: { pubkey: flipDigit(event.pubkey) },
      nip98: null,
      signInFault: "pubkey_mismatch",
    }),
    "a header cut off, a text for an object": ({ event }) => {
      const json = JSON.stringify(event);
      const header = `Nostr ${toBase64(json.slice(0, 1 + below(json.length - 1)))}`;
      return { event: json, header, ...MALFORMED };
    },
  };

  return {
    good,
    names: Object.keys(ALTERATIONS),
    alter: (name, valid) => (ALTERATIONS[name] as (good: Good) => Altered)(valid),
  };
}
