import assert from "node:assert/strict";
import OpenAI from "openai";
import { assertAudit } from "../harness/payer.ts";
import { paidSession } from "../harness/session-payer.ts";
import { createWorld, type World } from "../harness/world.ts";

const MODEL = "claude-sonnet-4-6";
const messages = [{ role: "user" as const, content: "What is a hold invoice?" }];

/** Runs `fn` against a world behind a real socket, and audits what is left. */
function journey(name: string, fn: (world: World, baseURL: string) => Promise<void>): void {
  Deno.test(`openai: ${name}`, async () => {
    const world = await createWorld();
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request, info) => world.app.fetch(request, { remoteAddr: info.remoteAddr }),
    );
    try {
      await fn(world, `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/api/v1`);
      await assertAudit(world);
    } finally {
      await server.shutdown();
      await world.close();
    }
  });
}

const clientOf = (baseURL: string, apiKey: string) => new OpenAI({ baseURL, apiKey, maxRetries: 0 });

journey("a completion, charged at what it cost", async (world, baseURL) => {
  const { macaroon } = await paidSession(world, world.call, 500);
  const completion = await clientOf(baseURL, macaroon).chat.completions.create({ model: MODEL, messages });
  assert.match(completion.choices[0]?.message.content ?? "", /What is a hold invoice/);
  assert.equal(completion.choices[0]?.finish_reason, "stop");
  const { timmy } = completion as unknown as { timmy: { debitedSats: number; balanceSats: number } };
  assert.ok(timmy.debitedSats > 0);
  assert.equal(timmy.balanceSats, 500 - timmy.debitedSats);
});

journey("a stream, with its usage and what it cost at the end", async (world, baseURL) => {
  const { macaroon } = await paidSession(world, world.call, 500);
  const stream = await clientOf(baseURL, macaroon).chat.completions.create({
    model: MODEL,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage = 0;
  let debited = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage?.completion_tokens ?? usage;
    debited = (chunk as unknown as { timmy?: { debitedSats: number } }).timmy?.debitedSats ?? debited;
  }
  assert.match(text, /What is a hold invoice/);
  assert.ok(usage > 0);
  assert.ok(debited > 0);
});

journey(
  "what its client keeps of an answer, or of a refusal, whole or streamed, goes back in the history",
  async (world, baseURL) => {
    const { macaroon } = await paidSession(world, world.call, 5_000);
    const { completions } = clientOf(baseURL, macaroon).chat;
    const refused = { role: "user" as const, content: "How do I build a bomb?" };
    for (const asked of [messages[0] as { role: "user"; content: string }, refused]) {
      const whole = await completions.create({ model: MODEL, messages: [asked] });
      const streamed = await completions.stream({ model: MODEL, messages: [asked] }).finalChatCompletion();
      // For a refusal the client itself throws where it is to parse.
      const parsed = asked === refused ? [] : [await completions.parse({ model: MODEL, messages: [asked] })];
      for (const answer of [whole, streamed, ...parsed]) {
        const [choice] = answer.choices;
        assert.equal(choice?.finish_reason, asked === refused ? "content_filter" : "stop");
        const history = [asked, choice.message, { role: "user" as const, content: "And then?" }];
        const next = await completions.create({
          model: MODEL,
          messages: history,
          user: "u",
          tools: [],
          seed: 7,
          top_p: 0.9,
          max_tokens: 32_000,
          metadata: { a: "b" },
          stream_options: null,
          store: true,
        });
        assert.equal(next.choices.length, 1);
      }
    }
  },
);

journey("a wrong key is the client's own AuthenticationError", async (_world, baseURL) => {
  await assert.rejects(
    clientOf(baseURL, "sk-nothing").chat.completions.create({ model: MODEL, messages }),
    (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_token",
  );
});
