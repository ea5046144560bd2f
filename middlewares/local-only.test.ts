import assert from "node:assert/strict";
import { createWorld } from "@/tests/harness/world.ts";

Deno.test("localOnly: where money is real, the development routes answer programs on this machine and nobody else", async () => {
  const world = await createWorld({ devLocalOnly: true });
  try {
    const { body } = await world.call("POST", "/api/jobs", { request: "hello" });
    const path = `http://127.0.0.1:8080/api/dev/stub/pay/${body.evalInvoice.paymentHash}`;
    const status = async (headers: Record<string, string>) =>
      (await world.call("POST", path, undefined, headers)).status;
    const local = { host: "127.0.0.1:8080" };
    for (
      const strange of [
        { host: "timmy.example" }, // a tunnel, or a name that was made to point here
        { host: "127.0.0.1.example.com" },
        { ...local, origin: "https://evil.example" }, // a page in the operator's browser
        { ...local, origin: "null" },
        { ...local, "x-forwarded-for": "203.0.113.9" }, // a proxy in front
        { ...local, forwarded: "for=203.0.113.9" },
      ]
    ) assert.equal(await status(strange), 404, JSON.stringify(strange));
    assert.equal((await world.call("GET", `/api/jobs/${body.jobId}`)).body.state, "awaiting_eval_payment");
    assert.equal(await status(local), 200);
  } finally {
    await world.close();
  }
});
