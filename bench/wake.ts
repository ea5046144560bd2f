import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import type { Model } from "@/lib/ai/port.ts";
import { sleep, systemClock } from "@/lib/clock.ts";
import { createWorld } from "@/tests/harness/world.ts";
import { createJob, handleOf, pay, untilState } from "@/tests/harness/payer.ts";
import { aim, type Bench, ms, percentile } from "./measure.ts";

const JOBS = 60;
/** Long enough that nothing of the job before is still running (ms). */
const PAUSE_MS = 60;

type Call = "evaluate" | "work";

/** From the moment the wallet's payment is durable to the moment the model is called: nobody polls, nothing else runs. */
export const wake: Bench = {
  name: "wake",
  title: `simulated settlement → model called, idle instance on a file, ${JOBS} jobs one after another`,
  async run({ figure, tempDir }) {
    const started = new Map<string, number>();
    const world = await createWorld({
      path: await tempDir(),
      store: { gatherMs: 2 },
      model: telling(createSimulatedModel({ clock: systemClock }), (call, request) => {
        started.set(`${call} ${request}`, performance.now());
      }),
    });
    const waited: Record<Call, number[]> = { evaluate: [], work: [] };
    for (let i = 0; i < JOBS; i++) {
      const request = `What is question ${i}?`;
      const job = await createJob(world.call, request);
      await sleep(systemClock, PAUSE_MS);
      for (const call of ["evaluate", "work"] as const) {
        const { body } = await world.call("GET", `/api/jobs/${job.jobId}`);
        await pay(world, call === "evaluate" ? body.evalInvoice : body.workInvoice);
        const settled = performance.now();
        await untilState(world, world.call, job.jobId, [call === "evaluate" ? "awaiting_work_payment" : "complete"]);
        const at = started.get(`${call} ${request}`);
        if (at === undefined) throw new Error(`job ${handleOf(job.jobId)} ended without the model`);
        waited[call].push(at - settled);
        await sleep(systemClock, PAUSE_MS);
      }
    }
    await world.close();
    const work = percentile(waited.work, 0.5);
    figure("settlement → work started, p50", ms(work), aim(work <= 20, "≤ 20 ms"));
    figure("settlement → work started, p95", ms(percentile(waited.work, 0.95)));
    figure("settlement → evaluation started, p50", ms(percentile(waited.evaluate, 0.5)));
    figure("settlement → evaluation started, p95", ms(percentile(waited.evaluate, 0.95)));
  },
};

/** A model that says when it is called. */
const telling = (model: Model, tell: (call: Call, request: string) => void): Model => ({
  ...model,
  evaluate(input) {
    tell("evaluate", input.request);
    return model.evaluate(input);
  },
  work(input) {
    tell("work", input.request);
    return model.work(input);
  },
  chat: (input) => model.chat(input),
});
