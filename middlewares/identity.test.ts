import assert from "node:assert/strict";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import { createRouter } from "@/lib/http/create-app.ts";
import { onError } from "@/lib/http/on-error.ts";
import { MALLORY } from "@/tests/fixtures/nostr/sign.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith } from "@/tests/harness/keys.ts";
import { pay } from "@/tests/harness/payer.ts";
import { bearing, pubkeyOf, signedFor, signIn } from "@/tests/harness/identity.ts";
import { identityOf, requireIdentity } from "./identity.ts";

/** A route that looks at the key twice, as one does behind the guard of a session; `?token=` stands for the body's. */
function build({ world }: FakeWorld) {
  const app = createRouter<AppDeps>();
  app.onError(onError);
  app.use("*", async (c, next) => {
    c.set("deps", world.deps);
    c.set("log", world.log);
    c.set("requestId", "-");
    await next();
  });
  app.get("/once", async (c) => c.json({ key: await identityOf(c, c.req.query("token")) }));
  app.get(
    "/twice",
    async (c) => c.json({ first: await identityOf(c), second: await identityOf(c, c.req.query("token")) }),
  );
  app.get("/mine", async (c) => c.json({ key: await requireIdentity(c, c.req.query("token")) }));
  return async (path: string, headers: Record<string, string> = {}) => {
    const response = await app.request(path, { headers });
    return { status: response.status, body: await response.json() };
  };
}

function test(name: string, fn: (fake: FakeWorld, ask: ReturnType<typeof build>) => Promise<void>): void {
  Deno.test(name, async () => {
    const fake = await createFakeWorld(1);
    try {
      await fn(fake, build(fake));
    } finally {
      fake.discard();
    }
  });
}

test(
  "identityOf: a signed event that is looked at twice in one request is used once, and is spent then",
  async (fake, ask) => {
    const headers = signedFor(fake.world, "GET", "/twice");
    const { body, status } = await ask("/twice", headers);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.first, body.second);
    assert.match(body.first, /^[0-9a-f]{64}$/);
    assert.equal((await ask("/twice", headers)).body.error.code, "nip98_replayed");
  },
);

test(
  "identityOf: nobody is null, the second time too, and a body's token then says who it is",
  async ({ world, call }, ask) => {
    assert.deepEqual((await ask("/twice")).body, { first: null, second: null });
    const { token, pubkey } = await signIn(world, call);
    assert.deepEqual((await ask(`/twice?token=${token}`)).body, { first: null, second: pubkey });
    assert.deepEqual((await ask(`/once?token=${token}`)).body, { key: pubkey });
  },
);

test(
  "identityOf: a body's token that is wrong, or names another key, is 401 whenever it is looked at",
  async ({ world, call }, ask) => {
    const { auth } = await signIn(world, call);
    const mallory = await signIn(world, call, MALLORY);
    for (const path of ["/once", "/twice", "/mine"]) {
      for (const [token, code] of [["x", "identity_invalid"], [mallory.token, "identity_conflict"]] as const) {
        const { status, body } = await ask(`${path}?token=${token}`, auth);
        assert.deepEqual([status, body.error.code], [401, code], path);
      }
      assert.equal((await ask(`${path}?token=${mallory.token}`, mallory.auth)).status, 200);
    }
  },
);

test(
  "requireIdentity: the key of either token; without one 401 that says how to get it",
  async ({ world, call }, ask) => {
    const { token, auth } = await signIn(world, call, MALLORY);
    const key = pubkeyOf(MALLORY);
    assert.deepEqual((await ask("/mine", auth)).body, { key });
    assert.deepEqual((await ask(`/mine?token=${token}`)).body, { key });
    const { status, body } = await ask("/mine");
    assert.deepEqual([status, body.error.code], [401, "identity_required"]);
    assert.match(body.error.message, /challenge.*verify.*X-Nostr-Token/);
    assert.equal((await ask("/mine", bearing(""))).body.error.code, "identity_invalid");
  },
);

Deno.test("refuseBadTokens: a token that is not good is 401 on every route but those to sign in again", async () => {
  const fake = await createFakeWorld(1);
  const auth = { "x-nostr-token": "t1.nothing" };
  const paths = [["GET", "/api/estimate?request=a"], ["GET", "/api/jobs/x"], ["POST", "/api/v1/chat/completions"]];
  const before = await fake.world.store.version();
  for (const [method, path] of paths as [string, string][]) {
    const { status, body } = await fake.call(method, path, method === "POST" ? {} : undefined, auth);
    assert.deepEqual([status, body.error.code], [401, "identity_invalid"], path);
  }
  assert.equal(await fake.world.store.version(), before, "nothing was sold to it");
  assert.equal((await fake.call("POST", "/api/identity/challenge", undefined, auth)).status, 200);
  fake.discard();
});

const CHAT = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "hello" }] };

Deno.test("a challenge that a signed-in key pays opens a session of its own", async () => {
  const fake = await createFakeWorld(1);
  const { world, call } = fake;
  const { auth } = await keyWith(world, 1);
  const unpaid = await call("POST", "/api/v1/chat/completions", CHAT, auth);
  assert.equal(unpaid.status, 402);
  await pay(world, unpaid.body.error.details.invoice);
  await fake.clock.settle();
  const { sessions } = (await call("GET", "/api/identity/sessions", undefined, auth)).body;
  assert.deepEqual(sessions.map(({ state }: { state: string }) => state), ["active"]);
  fake.discard();
});
