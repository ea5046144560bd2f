import assert from "node:assert/strict";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { assertAudit } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";

const CHAT = "/api/v1/chat/completions";
const BODY = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };
/** What an answer took before its callers' patience ended (ms). */
const PATIENCE_MS = 1_000;

interface Repeating extends FakeWorld {
  /** Asks, and hangs up after {@link PATIENCE_MS} if nothing came until then. */
  impatient(retries: number, changes?: Record<string, unknown>, patienceMs?: number): Promise<void>;
  /** Asks and waits. @returns status, text and charge */
  patient(retries: number, changes?: Record<string, unknown>): Promise<[status: number, text: string, sats: number]>;
  /** So many at once, each waited for. */
  together(callers: number): Promise<Response[]>;
  /** The model takes its time with the next answer (ms). */
  slow(ms: number): void;
  /** What the session's requests were charged and how they ended. */
  history(): Promise<[state: string, sats: number][]>;
}

function test(name: string, fn: (it: Repeating) => Promise<void>): void {
  Deno.test(`repeats: ${name}`, async () => {
    const fake = await createFakeWorld(1, { settings: { chatEvaluation: false } });
    const { clock, world } = fake;
    const delays: { kind: "delay"; ms: number }[] = [];
    fake.modelFaults.chat = delays;
    try {
      const { auth, path } = await paidSession(world, fake.call, 5_000);
      const send = async (retries: number, changes: Record<string, unknown>, signal?: AbortSignal) =>
        await world.app.request(CHAT, {
          method: "POST",
          headers: { ...auth, "content-type": "application/json", "x-stainless-retry-count": String(retries) },
          body: JSON.stringify({ ...BODY, ...changes }),
          ...(signal && { signal }),
        });
      await fn({
        ...fake,
        slow: (ms) => void delays.push({ kind: "delay", ms }),
        async impatient(retries, changes = {}, patienceMs = PATIENCE_MS) {
          const patience = new AbortController();
          const answer = send(retries, changes, patience.signal).then((response) => response.body?.cancel()).catch(
            () => {},
          );
          if (patienceMs > 0) await clock.advance(patienceMs);
          patience.abort();
          void answer;
          await clock.settle();
        },
        async patient(retries, changes = {}) {
          const { status, body } = await clock.drive(
            send(retries, changes).then(async (response) => ({ status: response.status, body: await response.json() })),
          );
          return [status, body.choices?.[0].message.content ?? body.error?.message, body.timmy?.debitedSats ?? 0];
        },
        together: async (callers) => await clock.drive(Promise.all(Array.from({ length: callers }, () => send(0, {})))),
        async history() {
          const { requests } = (await world.call("GET", `${path}/requests`, undefined, auth)).body;
          return requests.map(({ state, debitedSats }: { state: string; debitedSats: number }) => [state, debitedSats]);
        },
      });
      await assertAudit(world);
    } finally {
      fake.discard();
    }
  });
}

test("a client that gave up twice and repeats has one answer, paid once, with the machine's share", async (it) => {
  const [, , whole] = await it.patient(0, { max_tokens: 1_000 });
  it.slow(2_500);
  await it.impatient(0);
  await it.impatient(1);
  const [status, text, sats] = await it.patient(2);
  assert.equal(status, 200);
  assert.match(text, /^\[simulated\]/);
  assert.equal(sats, whole);
  assert.deepEqual((await it.history()).map(([state]) => state), ["complete", "complete"]);
});

test("whoever left without text and asks the same again within a minute need not say that it is a repeat", async (it) => {
  it.slow(2_500);
  await it.impatient(0);
  const [status] = await it.patient(0);
  assert.equal(status, 200);
  assert.equal((await it.history()).length, 1);
});

test("an answer that was complete when nobody was there is charged its tokens alone, once nobody comes for it", async (it) => {
  const [, , whole] = await it.patient(0, { max_tokens: 1_000 });
  it.slow(5_000);
  await it.impatient(0);
  await it.clock.advance(70_000);
  const [, sats = 0] = (await it.history()).find(([state]) => state === "interrupted") ?? [];
  assert.ok(sats > 0 && sats < whole, `${sats} of ${whole}`);
  const again = await it.patient(1);
  assert.deepEqual([again[0], (await it.history()).length], [200, 3], "too late: it is asked anew");
});

test("work that nobody waits for is stopped after its grace, and a repeat after that is a new request", async (it) => {
  it.slow(40_000);
  await it.impatient(0);
  await it.clock.advance(16_000);
  const [[state, sats] = ["", 0]] = await it.history();
  assert.equal(state, "interrupted");
  assert.ok(sats <= 2, `the input that was read: ${sats}`);
  assert.equal((await it.patient(1))[0], 200);
  assert.equal((await it.history()).length, 2);
});

test("whoever has left before the work began is no caller who waits", async (it) => {
  it.slow(40_000);
  await it.impatient(0, {}, 0);
  await it.clock.advance(16_000);
  assert.deepEqual((await it.history()).map(([state]) => state), ["interrupted"]);
});

test("equal bodies of callers who are both still there are two requests", async (it) => {
  it.slow(2_500);
  it.slow(2_500);
  const [one, other] = await it.together(2);
  assert.deepEqual([one?.status, other?.status], [200, 200]);
  assert.notEqual(one?.headers.get("x-timmy-request-id"), other?.headers.get("x-timmy-request-id"));
  assert.equal((await it.history()).length, 2);
});

test("another body is another request, whatever its client says", async (it) => {
  it.slow(2_500);
  await it.impatient(0);
  await it.patient(1, { messages: [{ role: "user", content: "What is a hold invoice ?" }] });
  await it.patient(1, { max_tokens: 50 });
  await it.patient(1, { temperature: 0 });
  await it.patient(1);
  assert.equal((await it.history()).length, 4);
});

test("a request that failed is run again by its repeat", async (it) => {
  it.modelFaults.chat?.push({ kind: "passing" });
  assert.equal((await it.patient(0))[0], 503);
  assert.equal((await it.patient(1))[0], 200);
  assert.deepEqual((await it.history()).map(([state]) => state).sort(), ["complete", "failed"]);
});
