import assert from "node:assert/strict";
import { z } from "@hono/zod-openapi";
import { createApp } from "./create-app.ts";
import { StoreError } from "@/lib/store/types.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import { collectingLogger } from "@/lib/logger.ts";
import {
  ApiError,
  badRequest,
  conflict,
  errorResponses,
  forbidden,
  notFound,
  payloadTooLarge,
  paymentRequired,
  tooManyRequests,
  unauthorized,
  unavailable,
  validationFailed,
} from "./errors.ts";

/** What {@link validationFailed} says about `value`, as "field: problem". */
function problems(schema: z.ZodType, value: unknown, target = "json"): string[] {
  const result = schema.safeParse(value);
  assert.ok(!result.success, "the value was expected not to fit");
  const fields = validationFailed(result.error.issues, target).details?.fields as { field: string; problem: string }[];
  return fields.map(({ field, problem }) => `${field}: ${problem}`);
}

const request = z.strictObject({
  request: z.string().min(1).max(500),
  amount_sats: z.int().min(100).max(10_000).optional(),
  mode: z.enum(["a", "b"]).optional(),
  messages: z.array(z.object({ content: z.string() })).min(1).optional(),
});

Deno.test("validationFailed: says what is wrong with each field", () => {
  assert.deepEqual(problems(request, {}), ["request: is missing"]);
  assert.deepEqual(problems(request, { request: "" }), ["request: must not be empty"]);
  assert.deepEqual(problems(request, { request: "x".repeat(501) }), ["request: is too long: at most 500 characters"]);
  assert.deepEqual(problems(request, { request: 5 }), ["request: must be a string"]);
  assert.deepEqual(problems(request, { request: null }), ["request: must be a string"]);
  assert.deepEqual(problems(request, { request: "x", amount_sats: 1.5 }), ["amount_sats: must be a whole number"]);
  assert.deepEqual(problems(request, { request: "x", amount_sats: 99 }), ["amount_sats: must be at least 100"]);
  assert.deepEqual(problems(request, { request: "x", amount_sats: 10_001 }), ["amount_sats: must be at most 10000"]);
  assert.deepEqual(problems(request, { request: "x", mode: "c" }), ["mode: must be one of: a, b"]);
  assert.deepEqual(problems(request, { request: "x", messages: [] }), ["messages: must not be empty"]);
  assert.deepEqual(problems(request, { request: "x", messages: [{}] }), ["messages[0].content: is missing"]);
  assert.deepEqual(problems(request, [1]), [": must be an object"]);
});

Deno.test("validationFailed: an unknown field is refused by name, every wrong field is named at once", () => {
  const error = validationFailed(request.safeParse({ requst: "hello", bid: 1 }).error?.issues ?? [], "json");
  assert.equal(error.status, 400);
  assert.equal(error.code, "validation_failed");
  assert.equal(
    error.publicMessage,
    "The request is not valid: request is missing; requst is not a field of this request; remove it; " +
      "bid is not a field of this request; remove it.",
  );
});

Deno.test("validationFailed: never repeats a value", () => {
  const secret = "sk-secret-value";
  const schemas: [z.ZodType, unknown][] = [
    [request, { request: { a: secret }, mode: secret, amount_sats: secret }],
    [z.object({ u: z.url(), h: z.string().regex(/^[0-9a-f]{64}$/), n: z.coerce.number() }), {
      u: secret,
      h: secret,
      n: secret,
    }],
    [z.object({ b: z.stringbool(), l: z.literal("x"), e: z.email() }), { b: secret, l: secret, e: secret }],
    [z.discriminatedUnion("t", [z.object({ t: z.literal("a") }), z.object({ t: z.literal("b") })]), { t: secret }],
  ];
  for (const [schema, value] of schemas) {
    const error = validationFailed(schema.safeParse(value).error?.issues ?? [], "json");
    assert.ok((error.details?.fields as unknown[]).length > 0);
    assert.ok(!JSON.stringify([error.publicMessage, error.details]).includes(secret));
  }
});

Deno.test("validationFailed: a choice of forms names what each needs, or what the best fitting one lacks", () => {
  const refund = z.union([z.strictObject({ invoice: z.string() }), z.strictObject({ lightningAddress: z.string() })]);
  assert.deepEqual(problems(refund, {}), [": needs one of: invoice is missing, or lightningAddress is missing"]);
  assert.deepEqual(problems(refund, { invoice: 5 }), ["invoice: must be a string"]);
});

Deno.test("validationFailed: a schema's own words are used", () => {
  const even = z.object({ n: z.number().refine((n) => n % 2 === 0, "must be even") });
  assert.deepEqual(problems(even, { n: 1 }), ["n: must be even"]);
});

Deno.test("validationFailed: names from outside are cut, cleaned and bounded in number", () => {
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 1]));
  assert.equal(problems(z.strictObject({}), many).length, 20);
  const [long = ""] = problems(z.strictObject({}), { ["a\nb\u202e" + "x".repeat(5_000)]: 1 });
  assert.ok(long.length < 150 && long.startsWith("a b x"), long);
});

Deno.test("ApiError: each helper has its status and code; waiting is always at least a second", () => {
  const errors: [ApiError, number, string][] = [
    [badRequest("b", "m"), 400, "b"],
    [unauthorized("u", "m"), 401, "u"],
    [paymentRequired("p", "m", ["L402 a", "Payment b"]), 402, "p"],
    [forbidden("f", "m"), 403, "f"],
    [notFound(), 404, "not_found"],
    [conflict("c", "m", { refundPaymentHash: "h" }), 409, "c"],
    [payloadTooLarge(10), 413, "payload_too_large"],
    [tooManyRequests("t", "m", 0.2), 429, "t"],
    [unavailable("d", "m", -3), 503, "d"],
  ];
  for (const [error, status, code] of errors) assert.deepEqual([error.status, error.code], [status, code]);
  assert.deepEqual(paymentRequired("p", "m", ["L402 a", "Payment b"]).headers, [
    ["WWW-Authenticate", "L402 a"],
    ["WWW-Authenticate", "Payment b"],
  ]);
  assert.deepEqual(tooManyRequests("t", "m", 0.2).headers, [["Retry-After", "1"]]);
  assert.deepEqual(unavailable("d", "m", -3).headers, [["Retry-After", "1"]]);
});

Deno.test("errorResponses: one described response per status", () => {
  assert.deepEqual(Object.keys(errorResponses(400, 404)), ["400", "404"]);
});

Deno.test("onError: a database or wallet that does not answer is 503 with Retry-After, a defect stays 500", async () => {
  const answer = async (error: Error) => {
    const app = createApp({ deps: {}, log: collectingLogger(), middlewares: [] });
    app.get("/", () => {
      throw error;
    });
    const response = await app.request("/");
    return [response.status, (await response.json()).error.code, response.headers.has("retry-after")];
  };
  const down = [503, "database_unavailable", true];
  assert.deepEqual(await answer(new StoreError("unavailable", "x")), down);
  assert.deepEqual(await answer(new StoreError("unknown", "x")), down);
  assert.deepEqual(await answer(new WalletError("x", true)), [503, "wallet_unavailable", true]);
  assert.deepEqual(await answer(new StoreError("stuck", "x")), [500, "internal", false]);
});
