// deno-lint-ignore-file no-console -- an example prints
/**
 * The official `openai` package, unchanged: another base URL, and a session's token as the API key.
 *
 *   deno run --config dev/deno.json --allow-net --allow-env examples/openai.ts [http://127.0.0.1:8080]
 *
 * `TIMMY_API_KEY` is the token of a session that you paid for; without it a session is opened on a development instance.
 */
import OpenAI from "openai";
import { instanceUrl, openPaidSession } from "./dev-wallet.ts";

const url = instanceUrl();
const apiKey = Deno.env.get("TIMMY_API_KEY") ?? (await openPaidSession(url, 1_000)).macaroon;
// Its own retries are safe: a repeat gets the answer of the request that it repeats, paid once.
const openai = new OpenAI({ baseURL: `${url}/api/v1`, apiKey });

const { data: models } = await openai.models.list();
console.log(`Models: ${models.map(({ id }) => id).join(", ")}`);
const model = models[0]?.id ?? "";
const messages = [{ role: "user" as const, content: "What is a hold invoice?" }];

/** What Timmy adds to a completion, and to the last chunk of a stream. */
interface Account {
  timmy?: { debitedSats: number; balanceSats: number };
}
const account = ({ timmy }: Account) => `It cost ${timmy?.debitedSats} sats; ${timmy?.balanceSats} are left.`;

const completion = await openai.chat.completions.create({ model, messages, max_tokens: 300 });
console.log(completion.choices[0]?.message.content);
console.log(account(completion as Account));

const stream = await openai.chat.completions.create(
  { model, messages, max_tokens: 300, stream: true },
  { headers: { "Idempotency-Key": crypto.randomUUID() } },
);
for await (const chunk of stream) {
  await Deno.stdout.write(new TextEncoder().encode(chunk.choices[0]?.delta.content ?? ""));
  if ("timmy" in chunk) console.log(`\n${account(chunk as Account)}`);
}
