/** Tests of chat completions: a paid session in a world whose time only the test moves. */
import assert from "node:assert/strict";
import { auditedTests } from "./audited.ts";
import type { FakeWorld } from "./fake-world.ts";
import { type PaidSession, paidSession } from "./session-payer.ts";
import type { Answer, WorldOptions } from "./world.ts";

export const PATH = "/api/v1/chat/completions";
export const ASK = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };

export interface Chatting extends FakeWorld {
  session: PaidSession;
  /** Asks with `changes` to {@link ASK}. */
  ask(changes?: Record<string, unknown>, headers?: Record<string, string>): Promise<Answer>;
  balance(): Promise<number>;
}

const audited = auditedTests("chat: ");

/** Runs `fn` with a paid session in a world whose time only it moves. */
export function chatting(
  name: string,
  fn: (it: Chatting) => Promise<void>,
  options: Pick<WorldOptions, "settings" | "rates"> & { sats?: number } = {},
): void {
  audited(name, async (fake) => {
    fake.modelFaults.chat = [];
    const session = await paidSession(fake.world, fake.call, options.sats ?? 5_000);
    await fn({
      ...fake,
      session,
      ask: (changes = {}, headers = {}) =>
        fake.call("POST", PATH, { ...ASK, ...changes }, { ...session.auth, ...headers }),
      balance: async () => (await fake.world.call("GET", session.path)).body.balanceSats,
    });
    await fake.clock.settle();
    const { heldSats } = (await fake.world.call("GET", session.path)).body;
    assert.equal(heldSats, 0, "a hold was left");
  }, options);
}

/** OpenAI's shape of an error, with this status, code and parameter. */
export function assertRefused(
  { status, body }: Answer,
  wanted: [status: number, code: string, param: string | null],
  says = /./,
) {
  assert.deepEqual([status, body.error?.code, body.error?.param], wanted, JSON.stringify(body));
  assert.match(body.error.message, says);
  assert.equal(typeof body.error.type, "string");
}

/** The events of a stream, parsed, `[DONE]` and comments as they are. */
// deno-lint-ignore no-explicit-any
export const framesOf = (text: string): any[] =>
  text.split("\n\n").filter((block) => block !== "").map((block) =>
    block.startsWith("data: {") ? JSON.parse(block.slice(6)) : block
  );
// deno-lint-ignore no-explicit-any
export const contentOf = (frames: any[]): string =>
  frames.map((frame) => frame.choices?.[0]?.delta?.content ?? "").join("");
