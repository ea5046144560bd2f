import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createAnthropicModel } from "./anthropic.ts";
import { conversation, evaluation, failureOf, job } from "./model.contract.ts";
import { createOpenAiCompatibleModel } from "./openai-compatible.ts";
import { createModelRouter } from "./router.ts";
import { createSimulatedModel } from "./simulated.ts";
import { startOpenAiServer } from "./testing/openai-server.ts";

function setUp() {
  const server = startOpenAiServer();
  const clock = createFakeClock();
  const local = createOpenAiCompatibleModel({ baseURL: `${server.url}/v1`, clock });
  return { server, local, hosted: createSimulatedModel({ clock }) };
}

Deno.test("createModelRouter: local/ names go to the local model, all others to the hosted one", async () => {
  const { server, local, hosted } = setUp();
  try {
    const router = createModelRouter({ local, hosted });
    assert.equal((await router.work(job({ modelName: "local/tiny" }, "x"))).text, "ok");
    assert.equal((await router.evaluate(evaluation({ modelName: "local/tiny" }, "x"))).reason, "fine");
    assert.equal((await router.chat(conversation({ modelName: "local/tiny" }, "x"))).text, "ok");
    assert.equal(server.requests.length, 3);
    for (const modelName of ["claude-haiku-4-5", "locale", "x/local/y"]) {
      assert.match((await router.work(job({ modelName }, "x"))).text, /^\[simulated\]/);
      assert.match((await router.evaluate(evaluation({ modelName }, "x"))).reason, /^\[simulated\]/);
      assert.match((await router.chat(conversation({ modelName }, "x"))).text, /^\[simulated\]/);
      assert.equal(router.adapterFor(modelName), hosted);
    }
    assert.equal(server.requests.length, 3);
    assert.equal(router.adapterFor("local/tiny"), local);
  } finally {
    await server.close();
  }
});

Deno.test("createModelRouter: a local name without a local model is permanent and says what to set", async () => {
  const { server, hosted } = setUp();
  await server.close();
  const router = createModelRouter({ hosted });
  for (
    const call of [
      router.evaluate(evaluation({ modelName: "local/tiny" }, "x")),
      router.work(job({ modelName: "local/tiny" }, "x")),
      router.chat(conversation({ modelName: "local/tiny" }, "x")),
    ]
  ) {
    const error = await failureOf(call);
    assert.deepEqual([error.permanent, error.causedByRequest], [true, false]);
    assert.match(error.message, /LOCAL_MODEL_BASE_URL/);
  }
});

Deno.test("createModelRouter: a model can what its adapter can, and one that is not there nothing", async () => {
  const { server, local } = setUp();
  await server.close();
  const hosted = createAnthropicModel({ apiKey: "k", clock: createFakeClock() });
  for (const ability of ["seed", "top_p"] as const) {
    const both = createModelRouter({ local, hosted });
    assert.deepEqual(["local/tiny", "claude-haiku-4-5"].map((name) => both.can(name, ability)), [true, false]);
    assert.equal(createModelRouter({ hosted }).can("local/tiny", ability), false);
    assert.equal(
      createModelRouter({ hosted: createSimulatedModel({ clock: createFakeClock() }) }).can("x", ability),
      true,
    );
  }
});

Deno.test("createModelRouter: it is simulated only while no real model can be reached", async () => {
  const { server, local, hosted } = setUp();
  await server.close();
  assert.equal(createModelRouter({ hosted }).simulated, true);
  assert.equal(createModelRouter({ hosted }).name, "simulated");
  assert.equal(createModelRouter({ hosted, local }).simulated, false);
  assert.equal(createModelRouter({ hosted, local }).name, "simulated+local");
  assert.equal(createModelRouter({ hosted: local }).simulated, false);
});
