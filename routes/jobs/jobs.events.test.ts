import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createLiveText } from "@/lib/metering/live-text.ts";
import { createWorld, type World } from "@/tests/harness/world.ts";
import { createJob, pay, untilState } from "@/tests/harness/payer.ts";

interface Told {
  event: string;
  data: Record<string, unknown>;
}

/** Reads a job's stream to its end. */
async function follow(world: World, jobId: string): Promise<Told[]> {
  const response = await world.app.request(`/api/jobs/${jobId}/events`);
  strictEqual(response.status, 200);
  match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  const text = await response.text();
  return text.split("\n\n").filter((frame) => frame.startsWith("event:")).map((frame) => {
    const [, event = "", data = ""] = /^event: (\S+)\ndata: (.*)$/.exec(frame) ?? [];
    return { event, data: JSON.parse(data) };
  });
}

Deno.test("job events: states in order, the answer in pieces that make up the whole, then the result and the cost", async () => {
  const world = await createWorld();
  try {
    const call = world.call;
    const job = await createJob(call, "Tell me about hold invoices.");
    const following = follow(world, job.jobId);
    await pay(world, job.evalInvoice);
    const offered = await untilState(world, call, job.jobId, ["awaiting_work_payment"]);
    await pay(world, offered.body.workInvoice);
    const told = await following;
    deepStrictEqual(
      told.filter(({ event }) => event === "state").map(({ data }) => data.state),
      ["awaiting_eval_payment", "evaluating", "awaiting_work_payment", "executing", "complete"],
    );
    const done = (await call("GET", `/api/jobs/${job.jobId}`)).body;
    const pieces = told.filter(({ event }) => event === "result_chunk").map(({ data }) => data.text);
    ok(pieces.length > 1, "the answer came in one piece");
    strictEqual(pieces.join(""), done.result);
    deepStrictEqual(told.at(-2), { event: "result", data: { result: done.result, finishReason: done.finishReason } });
    deepStrictEqual(told.at(-1), { event: "cost_ledger", data: done.costLedger });
  } finally {
    await world.close();
  }
});

Deno.test("job events: of a finished job, its state, answer and cost at once; of an unknown one, 404", async () => {
  const world = await createWorld();
  try {
    const call = world.call;
    const job = await createJob(call, "Refuse me [refuse]");
    await pay(world, job.evalInvoice);
    await untilState(world, call, job.jobId, ["rejected"]);
    deepStrictEqual(await follow(world, job.jobId), [{ event: "state", data: { state: "rejected" } }]);
    strictEqual((await call("GET", `/api/jobs/${job.jobId.slice(0, -1)}0x/events`)).status, 404);
  } finally {
    await world.close();
  }
});

Deno.test("job events: a client that goes away leaves nothing behind", async () => {
  const world = await createWorld();
  try {
    const job = await createJob(world.call, "Are you there?");
    const response = await world.app.request(`/api/jobs/${job.jobId}/events`);
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await pay(world, job.evalInvoice);
    strictEqual((await untilState(world, world.call, job.jobId, ["awaiting_work_payment"])).status, 200);
  } finally {
    await world.close();
  }
});

Deno.test("LiveText: a late follower gets what there is; one that was told something hears of a new beginning", () => {
  const live = createLiveText();
  const heard: string[] = [];
  live.begin("a");
  live.append("a", "one ");
  const stop = live.follow("a", (piece) => heard.push(piece), () => heard.push("<again>"));
  live.append("a", "two");
  live.end("a");
  live.begin("a");
  live.append("a", "three");
  stop();
  live.append("a", "four");
  deepStrictEqual(heard, ["one ", "two", "<again>", "three"]);
  live.append("b", "nobody began this");
  live.follow("b", () => ok(false, "text of a run that never began"), () => {})();
});

Deno.test("job events: HEAD is answered without a stream, since nobody would read it", async () => {
  const world = await createWorld();
  try {
    const job = await createJob(world.call, "Head only");
    const response = await world.app.request(`/api/jobs/${job.jobId}/events`, { method: "HEAD" });
    strictEqual(response.status, 200);
    strictEqual(await response.text(), "");
  } finally {
    await world.close();
  }
});
