/**
 * 500 altered events at both doors: a request signed with NIP-98, and an answer to a sign-in challenge. One event is good for
 * both, so both see every alteration. The seed is fixed; a failure names the round.
 */
import assert from "node:assert/strict";
import { nostrHeader } from "@/tests/fixtures/nostr/sign.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { checkNip98 } from "./nip98.ts";
import { readSignIn } from "./sign-in.ts";
import { type Altered, createAlterations, type Good } from "./testing/altered-events.ts";

const ROUNDS = 500;
const SEED = 20_240_229;
const { good, names, alter } = createAlterations(createSeededRandom(SEED));

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
    const altered = alter(name, valid);
    const [nip98, signIn] = [askNip98(valid, altered), askSignIn(valid, altered)];
    const what = `${name}, round ${round} of seed ${SEED}`;
    assert.equal(nip98.ok ? null : nip98.code, altered.nip98, `NIP-98: ${what}`);
    assert.equal(signIn.ok ? null : signIn.code, altered.signInFault, `sign-in: ${what}`);
    if (!nip98.ok || !signIn.ok) refused++;
  }
  assert.equal(refused, ROUNDS);
});
