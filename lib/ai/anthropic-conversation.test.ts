import assert from "node:assert/strict";
import { refusedChoice, toAnthropicConversation } from "./anthropic-conversation.ts";
import { type ChatMessage, ModelError } from "./port.ts";

const user: ChatMessage = { role: "user", text: "Rain." };

/** What the refusal of a conversation says; it must be permanent and blame the request. */
function refusalOf(input: Parameters<typeof toAnthropicConversation>[0]): string {
  try {
    toAnthropicConversation(input);
  } catch (error) {
    assert.ok(error instanceof ModelError && error.permanent && error.causedByRequest);
    return error.message;
  }
  return "it was taken";
}

Deno.test("toAnthropicConversation: what nobody gave is not sent", () => {
  assert.deepEqual(toAnthropicConversation({ messages: [user], stop: [] }), {
    messages: [{ role: "user", content: "Rain." }],
  });
  assert.equal(toAnthropicConversation({ messages: [{ role: "system", text: "" }, user] }).system, undefined);
});

Deno.test("toAnthropicConversation: temperature goes from 0 to below 1 as it is; 1 is the API's own", () => {
  const of = (temperature: number) => toAnthropicConversation({ messages: [user], temperature }).temperature;
  assert.deepEqual([0, 0.5, 1].map(of), [0, 0.5, undefined]);
  assert.match(refusalOf({ messages: [user], temperature: 1.0001 }), /temperature/);
});

Deno.test("toAnthropicConversation: the caller's messages are left as they are, blank ones of the user's refused, empty halves joined away", () => {
  const messages: ChatMessage[] = [user, { role: "user", text: "" }, { role: "user", text: "More." }];
  assert.deepEqual(toAnthropicConversation({ messages }).messages, [{ role: "user", content: "Rain.\n\nMore." }]);
  assert.deepEqual(messages[0], { role: "user", text: "Rain." });
  assert.match(
    refusalOf({ messages: [user, { role: "assistant", text: "It." }, { role: "user", text: " " }] }),
    /blank/,
  );
  assert.match(refusalOf({ messages: [] }), /first message/);
});

Deno.test("toAnthropicConversation: an answer that was empty may come back, wherever it stood", () => {
  const empty: ChatMessage = { role: "assistant", text: "" };
  const once = [{ role: "user", content: "Rain." }];
  for (const messages of [[user, empty], [empty, user], [user, { ...empty, text: " \n" }, empty]]) {
    assert.deepEqual(toAnthropicConversation({ messages }).messages, once);
  }
  assert.deepEqual(toAnthropicConversation({ messages: [user, empty, user] }).messages, [{
    role: "user",
    content: "Rain.\n\nRain.",
  }]);
  assert.match(refusalOf({ messages: [empty] }), /first message/);
});

Deno.test("refusedChoice: blames only what the conversation holds", () => {
  const plain = toAnthropicConversation({ messages: [user] });
  const warm = toAnthropicConversation({ messages: [user], temperature: 0.5 });
  const prefilled = toAnthropicConversation({ messages: [user, { role: "assistant", text: "It" }] });
  const [deprecated, prefill] = ["`temperature` is deprecated for this model.", "does not support prefill"];
  assert.match(refusedChoice(warm, deprecated)?.message ?? "", /temperature/);
  assert.match(refusedChoice(prefilled, prefill)?.message ?? "", /last message/);
  assert.deepEqual(
    [refusedChoice(plain, deprecated), refusedChoice(plain, prefill), refusedChoice(warm, "max_tokens: too large")],
    [null, null, null],
  );
});
