// needs: ai@7.0.173 @ai-sdk/openai-compatible@3.0.92
// sends: user seed top_p
/** Vercel's AI SDK: the messages of each response come back in the next turn. */
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const timmy = createOpenAICompatible({
  name: "timmy",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
});
const settings = {
  model: timmy(process.env.TIMMY_MODEL),
  system: "Be brief.",
  seed: 7,
  topP: 0.9,
  providerOptions: { timmy: { user: "ada" } },
};

for (const streamed of [false, true]) {
  const messages = [];
  for (const question of ["What is a hold invoice?", "Who can cancel it?", "Thank you."]) {
    messages.push({ role: "user", content: question });
    const answer = streamed ? streamText({ ...settings, messages }) : await generateText({ ...settings, messages });
    const [text, response] = [await answer.text, await answer.response];
    assert.ok(text.includes(question), text);
    messages.push(...response.messages);
  }
}
