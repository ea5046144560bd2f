/** Streams of a served model, frame by frame: what hang-ups, breaks and a slow provider leave behind. */
import assert from "node:assert/strict";
import { conversation, failureOf } from "../model.contract.ts";
import type { Usage } from "../port.ts";
import { countedTokens } from "../tokens.rules.ts";
import type { ServedModel } from "./served-model.ts";

/** How a protocol streams a text. */
export interface StreamedProtocol {
  /** Every frame of a whole answer. `counted`: the provider tells its usage, {@link COUNTED}. */
  frames(text: string, counted: boolean): string[];
  /** The text that this frame brings, if any. */
  textOf(frame: string): string;
  /** True when the provider has counted the input as soon as the first frame came. */
  countsInputFirst: boolean;
  /** True for the frame after which nothing of the answer is missing. */
  isFinish(frame: string): boolean;
  /** True for the frame that tells the usage of the whole answer, where the provider counts. */
  countsAll(frame: string): boolean;
}

/** What a provider that counts has counted. */
export const COUNTED = { inputTokens: 31, outputTokens: 17 };

const TEXT = "Rain, said the roof: again, again.";
const PROMPT = "Write a poem about rain.";
const DEADLINE_MS = 30_000;
/** Real time after which a test that waits for a piece gives up, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Waits for what must come at once, and fails instead of waiting for ever. */
async function soon(promise: Promise<void>, what: string): Promise<void> {
  let forget = () => {};
  const late = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not come within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    forget = () => clearTimeout(timer);
  });
  await Promise.race([promise, late]).finally(forget);
}

type Test = (criterion: string, fn: (it: ServedModel) => Promise<void>) => void;

/** Registers the tests of streams that every served adapter passes. */
export function streamTests(test: Test, protocol: StreamedProtocol): void {
  /** Each beginning of a stream, with what it says. */
  const beginnings = (counted: boolean) => {
    const frames = protocol.frames(TEXT, counted);
    return frames.map((_, index) => {
      const sent = frames.slice(0, index + 1);
      return {
        sent,
        rest: frames.slice(index + 1),
        said: sent.map(protocol.textOf).join(""),
        finished: sent.some(protocol.isFinish),
        isCounted: counted && sent.some(protocol.countsAll),
      };
    });
  };

  /** Asserts the usage of a call that ended after `said`. */
  const assertCharged = (usage: Usage | undefined, said: string, counted: boolean, where: string) => {
    assert.ok(usage, where);
    const inputCounted = counted && protocol.countsInputFirst;
    assert.equal(usage.inputTokens, inputCounted ? COUNTED.inputTokens : countedTokens(PROMPT), where);
    assert.equal(usage.outputTokens, countedTokens(said), where);
    assert.equal(usage.source, "estimated", where);
  };

  for (const counted of [true, false]) {
    const provider = counted ? "counts" : "counts nothing";

    test(`chat: a hang-up after any frame closes the stream upstream and charges what was told (it ${provider})`, async (it) => {
      let calls = 0;
      for (const { sent, rest, said, finished, isCounted } of beginnings(counted)) {
        if (rest.length === 0) continue; // that call has ended
        const where = `after frame ${sent.length}`;
        it.server.script.push({ kind: "frames", frames: sent, then: "stall" });
        const controller = new AbortController();
        const told = Promise.withResolvers<void>();
        let heard = "";
        const onText = (piece: string) => {
          heard += piece;
          if (heard === said) told.resolve();
        };
        if (said === "") told.resolve();
        const call = failureOf(
          it.model.chat({ ...conversation(it, PROMPT), signal: controller.signal, onText }),
        );
        const request = await it.server.received(++calls);
        await soon(told.promise, "the pieces");
        await it.clock.settle();
        controller.abort();
        const error = await call;
        assert.equal(error.kind, "aborted", where);
        if (isCounted) assert.deepEqual(error.usage, { ...COUNTED, source: "api" }, where);
        else if (finished) assert.ok(error.usage && error.usage.inputTokens > 0 && error.usage.outputTokens > 0, where);
        else if (said !== "") assertCharged(error.usage, said, counted, where);
        await soon(request.closedByClient, "the end of the connection");
        assert.equal(heard, said, where);
        assert.equal(it.clock.pending(), 0, where);
      }
    });

    test(`chat: a stream that breaks after any frame, or inside the next, is a passing error that charges what was told (it ${provider})`, async (it) => {
      for (const { sent, rest, said, finished, isCounted } of beginnings(counted)) {
        if (finished) continue;
        for (const half of ["", (rest[0] ?? "").slice(0, (rest[0] ?? "").length / 2)]) {
          const where = `after frame ${sent.length}${half === "" ? "" : " and a half"}`;
          it.server.script.push({ kind: "frames", frames: half === "" ? sent : [...sent, half], then: "cut" });
          let heard = "";
          const onText = (piece: string) => void (heard += piece);
          const error = await failureOf(it.model.chat({ ...conversation(it, PROMPT), onText }));
          assert.deepEqual([error.kind, error.causedByRequest], ["broken", false], where);
          assert.equal(heard, said, where);
          if (isCounted) assert.deepEqual(error.usage, { ...COUNTED, source: "api" }, where);
          else if (said !== "") assertCharged(error.usage, said, counted, where);
        }
      }
    });

    test(`chat: a stream that breaks after all was said is an answer (it ${provider})`, async (it) => {
      const whole = beginnings(counted).filter(({ finished }) => finished);
      assert.ok(whole.length > 0);
      for (const { sent } of whole) {
        it.server.script.push({ kind: "frames", frames: sent, then: "cut" });
        const result = await it.model.chat({ ...conversation(it, PROMPT), onText: () => {} });
        assert.deepEqual([result.text, result.finish], [TEXT, "stop"]);
        assert.ok(result.usage.inputTokens > 0 && result.usage.outputTokens > 0);
      }
    });

    test(`chat: a whole stream charges what the provider counted, else its text (it ${provider})`, async (it) => {
      it.server.script.push({ kind: "frames", frames: protocol.frames(TEXT, counted), then: "end" });
      const { usage, text } = await it.model.chat({ ...conversation(it, PROMPT), onText: () => {} });
      assert.equal(text, TEXT);
      assert.deepEqual(
        usage,
        counted ? { ...COUNTED, source: "api" } : {
          inputTokens: countedTokens(PROMPT),
          outputTokens: countedTokens(TEXT),
          source: "estimated",
        },
      );
    });
  }

  test("chat: the deadline in the middle of a stream charges what was told and closes the stream", async (it) => {
    const middle = beginnings(true).find(({ said }) => said.length > TEXT.length / 2);
    assert.ok(middle);
    it.server.script.push({ kind: "frames", frames: middle.sent, then: "stall" });
    const told = Promise.withResolvers<void>();
    let heard = "";
    const onText = (piece: string) => {
      heard += piece;
      if (heard === middle.said) told.resolve();
    };
    const call = failureOf(it.model.chat({ ...conversation(it, PROMPT), onText }));
    await soon(told.promise, "the pieces");
    await it.clock.advance(DEADLINE_MS);
    const error = await call;
    assert.equal(error.kind, "timeout");
    assertCharged(error.usage, middle.said, true, "at the deadline");
    await soon((await it.server.received(1)).closedByClient, "the end of the connection");
  });

  test("chat: each piece is told before the provider has sent the next frame: nothing is held back", async (it) => {
    const frames = protocol.frames(TEXT, true);
    let heard = "";
    let wake = () => {};
    const patience = AbortSignal.timeout(PATIENCE_MS);
    patience.addEventListener("abort", () => wake());
    // Frame by frame: the next one is sent only when all that came before was heard.
    const before = async (index: number) => {
      const said = frames.slice(0, index).map(protocol.textOf).join("");
      while (heard !== said && !patience.aborted) await new Promise<void>((resolve) => (wake = resolve));
    };
    it.server.script.push({ kind: "frames", frames, before, then: "end" });
    const result = await it.model.chat({
      ...conversation(it, PROMPT),
      signal: patience,
      onText(piece) {
        heard += piece;
        wake();
      },
    });
    assert.equal(result.text, TEXT);
  });
}
