// needs: openai@7.59.0
// sends: user seed top_p null
/** The official package for Node: whole answers as they come, and its stream helper, whose message holds fields of its own. */
import assert from "node:assert/strict";
import OpenAI from "openai";

const openai = new OpenAI();
const settings = { model: process.env.TIMMY_MODEL, user: "ada", seed: 7, top_p: 0.9 };
const unset = { max_tokens: null, stop: null, temperature: null, tools: null, response_format: null, logit_bias: null };

for (const streamed of [false, true]) {
  const messages = [{ role: "system", content: "Be brief." }];
  for (const question of ["What is a hold invoice?", "Who can cancel it?", "Thank you."]) {
    messages.push({ role: "user", content: question, name: "ada" });
    const asked = { ...settings, ...unset, messages };
    const { choices: [{ message }] } = streamed
      ? await openai.chat.completions.stream(asked).finalChatCompletion()
      : await openai.chat.completions.create(asked);
    assert.ok(message.content.includes(question), message.content);
    messages.push(message);
  }
}
