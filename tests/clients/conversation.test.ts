/** The judge of the clients' conversations: silent about a good one, and it names each thing that can be wrong. */
import assert from "node:assert/strict";
import { faultsOf } from "./conversation.ts";
import type { Exchange } from "./recorder.ts";

const SENDS = ["seed", "null"];

/** Three turns whole and three streamed, at 2 sats each. */
function conversation(
  change: (body: { messages: { content: string }[]; seed?: number }) => void = () => {},
): Exchange[] {
  return [false, true].flatMap((stream) =>
    [1, 2, 3].map((turn) => {
      const earlier = Array.from({ length: turn - 1 }, (_, i) => [
        { role: "user", content: "?" },
        { role: "assistant", content: `answer ${i + 1}` },
      ]);
      const body = { stream, seed: 7, user: null, messages: [...earlier.flat(), { role: "user", content: "?" }] };
      change(body);
      const timmy = { debitedSats: 2 };
      const piece = (choice: unknown) => JSON.stringify({ choices: [choice], timmy });
      const answer = stream
        ? `: a comment\n\ndata: ${piece({ delta: { content: "answer " } })}\n\ndata: ${
          piece({ delta: { content: `${turn}` } })
        }\n\ndata: [DONE]\n\n`
        : piece({ message: { content: `answer ${turn}` } });
      return { method: "POST", path: "/api/v1/chat/completions", body: JSON.stringify(body), status: 200, answer };
    })
  );
}

Deno.test("conversation: three turns of each kind, charged as the answers say, have no fault", () => {
  assert.deepEqual(faultsOf(conversation(), SENDS, 12), []);
});

Deno.test("conversation: a refusal, a missing turn, other answers, a parameter left out and another charge are named", () => {
  const [first, ...rest] = conversation();
  assert.ok(first);
  const refused = { ...first, status: 400, answer: '{"error":{}}' };
  assert.match(faultsOf([refused, ...conversation()], SENDS, 12).join("\n"), /got 400\n4 whole answers/);
  assert.match(faultsOf(rest, SENDS, 10).join("\n"), /2 whole answers were asked for, not 3/);
  const altered = conversation(({ messages }) => messages.forEach((message) => message.content += " "));
  assert.match(faultsOf(altered, SENDS, 12).join("\n"), /turn 2 \(streamed\).*\n.*\n.*turn 2 \(whole\)/);
  assert.deepEqual(faultsOf(conversation((body) => delete body.seed), SENDS, 12), ["seed was not sent"]);
  assert.deepEqual(faultsOf(conversation(), ["top_p"], 12), ["top_p was not sent"]);
  assert.deepEqual(faultsOf(conversation(), SENDS, 11), ["the answers say 12 sats, the session paid 11"]);
});
