/**
 * 1,000 altered events at both doors: a request signed with NIP-98, and an answer to a sign-in challenge. One event is good for
 * both, so both see every alteration. The seed is fixed; a failure names the round.
 */
import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { finalizeEvent } from "nostr-tools/pure";
import { ALICE, forge, MALLORY, nostrHeader, sign, type Template, toBase64 } from "@/tests/fixtures/nostr/sign.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import type { NostrEvent } from "./event.ts";
import { checkNip98, type Nip98Fault, type Nip98Request } from "./nip98.ts";
import { readSignIn, type SignInFault, type SignInRequest } from "./sign-in.ts";

const ROUNDS = 1_000;
const SEED = 20_240_229;
const ORIGIN = "https://timmy.example";
const random = createSeededRandom(SEED);
const below = (max: number) => new DataView(random.bytes(4).buffer).getUint32(0) % max;
const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T;
const hex = (bytes: number) => bytesToHex(random.bytes(bytes));

/** A request and a sign-in that pass with this event. */
interface Good {
  template: Template;
  event: NostrEvent;
  request: Omit<Nip98Request, "header">;
  signIn: Omit<SignInRequest, "event">;
}

function good(): Good {
  const body = random.bytes(1 + below(40));
  const url = `${ORIGIN}/api/${hex(3)}?q=${hex(2)}`;
  const method = pick(["POST", "PUT", "PATCH"]);
  const created_at = 1_600_000_000 + below(200_000_000);
  const template: Template = {
    kind: 27_235,
    created_at,
    content: "",
    tags: [["u", url], ["method", method], ["payload", bytesToHex(sha256(body))], ["challenge", hex(32)]],
  };
  const now = created_at * 1000;
  const event = sign(template);
  return {
    template,
    event,
    request: { method, url, body, now },
    signIn: { pubkey: event.pubkey, publicOrigin: ORIGIN, now },
  };
}

/** What an alteration sends, and why each door must refuse it; null: this door has no reason to. */
interface Altered {
  event: unknown;
  header?: string;
  request?: Partial<Nip98Request>;
  signIn?: Partial<SignInRequest>;
  nip98: Nip98Fault | null;
  signInFault: SignInFault | null;
}

const otherDigit = (digit: string) => pick([..."0123456789abcdef"].filter((other) => other !== digit));
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

/** After the event's id was made wrong. */
const WRONG_ID = { nip98: "nip98_id", signInFault: "event_id" } as const;
const WRONG_SIGNATURE = { nip98: "nip98_signature", signInFault: "event_signature" } as const;
const MALFORMED = { nip98: "nip98_malformed", signInFault: "event_malformed" } as const;

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
    request: { method: pick(["GET", "DELETE", request.method.toLowerCase()]) },
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

const names = Object.keys(ALTERATIONS);
const askNip98 = ({ request }: Good, altered: Pick<Altered, "event" | "header" | "request">) =>
  checkNip98({ ...request, ...altered.request, header: altered.header ?? nostrHeader(altered.event) });
const askSignIn = ({ signIn }: Good, altered: Pick<Altered, "event" | "signIn">) =>
  readSignIn({ ...signIn, ...altered.signIn, event: altered.event });

Deno.test("altered events: the event that is altered passes both doors", () => {
  for (let i = 0; i < 20; i++) {
    const valid = good();
    assert.equal(askNip98(valid, valid).ok, true);
    assert.equal(askSignIn(valid, valid).ok, true);
  }
});

Deno.test(`altered events: ${ROUNDS} are refused, each for its reason, and none is an error`, () => {
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const name = names[round % names.length] as string;
    const valid = good();
    const altered = (ALTERATIONS[name] as (good: Good) => Altered)(valid);
    const [nip98, signIn] = [askNip98(valid, altered), askSignIn(valid, altered)];
    const what = `${name}, round ${round} of seed ${SEED}`;
    assert.equal(nip98.ok ? null : nip98.code, altered.nip98, `NIP-98: ${what}`);
    assert.equal(signIn.ok ? null : signIn.code, altered.signInFault, `sign-in: ${what}`);
    if (!nip98.ok || !signIn.ok) refused++;
  }
  assert.equal(refused, ROUNDS);
});
