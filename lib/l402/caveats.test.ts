import assert from "node:assert/strict";
import fc from "fast-check";
import { type Capability, caveatOf, type Permissions, readCaveats } from "./caveats.ts";

const NOW = 1_800_000_000;
const SERVICES = "services=timmy:0";
const JOBS_AND_CHAT = "timmy_capabilities=jobs,chat";
const NPUB = `npub1${"q".repeat(58)}`;

function permissions(...caveats: string[]): Permissions {
  const read = readCaveats([SERVICES, ...caveats], NOW);
  assert.ok(read.ok, JSON.stringify(read));
  return read.permissions;
}

function problem(...caveats: string[]) {
  const read = readCaveats(caveats, NOW);
  assert.ok(!read.ok, `${JSON.stringify(caveats)} is taken`);
  return read.problem;
}

/** Refused with `invalid_token`, naming the key and never a value. */
function refused(key: string | null, ...caveats: string[]) {
  const { code, message, caveat } = problem(SERVICES, ...caveats);
  assert.deepEqual({ code, caveat }, { code: "invalid_token", caveat: key }, caveats.join(" "));
  if (key !== null) assert.ok(message.includes(`(${key})`), message);
  for (const value of caveats.map((text) => text.slice(text.indexOf("=") + 1))) {
    if (value.length > 3) assert.ok(!message.includes(value), `${message} repeats ${value}`);
  }
}

Deno.test("readCaveats: the caveats of the protocol's vector", () => {
  const read = readCaveats([SERVICES, "timmy_valid_until=1893456000", JOBS_AND_CHAT], NOW);
  assert.deepEqual(read, {
    ok: true,
    permissions: {
      capabilities: new Set(["jobs", "chat"]),
      validUntil: 1_893_456_000,
      session: null,
      job: null,
      npub: null,
      models: null,
      maxSats: [],
    },
  });
});

Deno.test("readCaveats: every key says what it allows", () => {
  const all = permissions("session=h-1", "job=j_2", `npub=${NPUB}`, "model=claude-4:x/y@z.1", "max_sats=21");
  assert.deepEqual(all, {
    capabilities: new Set(),
    validUntil: null,
    session: "h-1",
    job: "j_2",
    npub: NPUB,
    models: new Set(["claude-4:x/y@z.1"]),
    maxSats: [{ index: 5, sats: 21 }],
  });
});

Deno.test("readCaveats: a token that names no capability has none", () =>
  assert.deepEqual(permissions("session=a").capabilities, new Set()));

Deno.test("readCaveats: every max_sats is kept with its place among the caveats, in order", () =>
  assert.deepEqual(permissions("max_sats=100", JOBS_AND_CHAT, "max_sats=100", "max_sats=7").maxSats, [
    { index: 1, sats: 100 },
    { index: 3, sats: 100 },
    { index: 4, sats: 7 },
  ]));

Deno.test("readCaveats: a repeated key may narrow or stay as it is", () => {
  assert.deepEqual(permissions(JOBS_AND_CHAT, "timmy_capabilities=chat,jobs").capabilities, new Set(["chat", "jobs"]));
  assert.deepEqual(permissions(JOBS_AND_CHAT, "timmy_capabilities=chat").capabilities, new Set(["chat"]));
  assert.equal(permissions("timmy_valid_until=1900000000", "timmy_valid_until=1900000000").validUntil, 1_900_000_000);
  assert.equal(permissions("timmy_valid_until=1900000000", "timmy_valid_until=1850000000").validUntil, 1_850_000_000);
  assert.deepEqual(permissions("model=a,b,c", "model=c,a", "model=a").models, new Set(["a"]));
  assert.equal(permissions(SERVICES, "session=a", "session=a").session, "a");
  assert.equal(permissions("job=a", "job=a").job, "a");
  assert.equal(permissions(`npub=${NPUB}`, `npub=${NPUB}`).npub, NPUB);
});

Deno.test("readCaveats: a repeated key that would widen is refused by name", () => {
  refused("timmy_capabilities", "timmy_capabilities=jobs", JOBS_AND_CHAT);
  refused("timmy_capabilities", "timmy_capabilities=jobs", "timmy_capabilities=chat");
  refused("timmy_valid_until", "timmy_valid_until=1850000000", "timmy_valid_until=1850000001");
  refused("max_sats", "max_sats=99", "max_sats=100");
  refused("max_sats", "max_sats=99", "max_sats=10", "max_sats=50");
  refused("model", "model=alpha", "model=alpha,bravo");
  refused("model", "model=alpha,bravo", "model=alpha", "model=bravo");
  refused("session", "session=alpha", "session=bravo");
  refused("job", "job=alpha", "job=bravo");
  refused("npub", `npub=${NPUB}`, `npub=npub1${"p".repeat(58)}`);
});

Deno.test("readCaveats: another service, or none, is refused", () => {
  for (const value of ["timmy", "timmy:1", "timmy:0,other:0", "other:0", "", "Timmy:0"]) {
    refused("services", `services=${value}`);
  }
  assert.equal(problem(JOBS_AND_CHAT).caveat, "services");
  assert.equal(problem().code, "invalid_token");
});

Deno.test("readCaveats: a caveat that is not understood refuses the token and is named", () => {
  for (const key of ["foo", "ip", "timmy_capability", "max_sat", "models", "constructor", "time_before"]) {
    refused(key, `${key}=value`);
  }
});

Deno.test("readCaveats: what is no key is not repeated to anybody", () => {
  const texts = [
    "",
    "=",
    "=value",
    "services",
    "max_sats 21",
    "max_sats =21",
    " session=abcdef",
    "Session=abcdef",
    "__proto__=abcdef",
    `${"k".repeat(65)}=abcdef`,
  ];
  for (const text of [...texts, "<script>=abcdef", "a\r\nb=abcdef", "\ufeffsession=abcdef"]) refused(null, text);
});

Deno.test("readCaveats: a value that is not of its form is refused by name", () => {
  const wrong: Record<string, string[]> = {
    timmy_capabilities: ["", "jobs,", ",jobs", "jobs,jobs", "jobs, chat", "Jobs", "admin", "jobs,admin", "jobs;chat"],
    timmy_valid_until: [
      "",
      "0",
      "-1",
      "+1900000000",
      "01900000000",
      "1900000000.5",
      "19e8",
      "0x71",
      " 1900000000",
      "1900000000000",
      "soon",
      "1900000000=",
      "１９",
    ],
    max_sats: [
      "",
      "0",
      "-5",
      "+5",
      "007",
      "5.0",
      "5e2",
      "0x10",
      " 5",
      "5 ",
      "5,6",
      "2100000000000001",
      "9007199254740993",
      "NaN",
      "Infinity",
      "٥",
    ],
    model: ["", "a,", ",a", "a,,b", "a,a", "a b", "a, b", "é", "a\n", "a=b", "*", "x".repeat(201)],
    session: ["", "a b", "a=b", "a,b", "é", "a\n", "x".repeat(129)],
    job: ["", "a b", "../x", "x".repeat(129)],
    npub: ["", "npub1", NPUB.slice(1), `${NPUB}q`, NPUB.toUpperCase(), `npub1${"b".repeat(58)}`, "ab".repeat(32)],
  };
  for (const [key, values] of Object.entries(wrong)) for (const value of values) refused(key, `${key}=${value}`);
});

Deno.test("readCaveats: all there will ever be is the largest max_sats", () =>
  assert.deepEqual(permissions("max_sats=2100000000000000").maxSats, [{ index: 1, sats: 21e14 }]));

Deno.test("readCaveats: good until the second before timmy_valid_until, the earliest of several", () => {
  const caveats = [SERVICES, "timmy_valid_until=1900000000", "timmy_valid_until=1850000000"];
  assert.equal(readCaveats(caveats, 1_849_999_999).ok, true);
  for (const now of [1_850_000_000, 1_850_000_001, 2_000_000_000]) {
    const read = readCaveats(caveats, now);
    assert.ok(!read.ok);
    const { code, caveat, message } = read.problem;
    assert.deepEqual([code, caveat], ["token_expired", "timmy_valid_until"]);
    assert.match(message, /expired/);
  }
});

Deno.test("readCaveats: an expired token that is unsound besides is called invalid", () => {
  assert.equal(problem(SERVICES, "timmy_valid_until=1", "foo=bar").code, "invalid_token");
  assert.equal(problem("timmy_valid_until=1").code, "invalid_token");
  assert.equal(problem(SERVICES, "timmy_valid_until=1").code, "token_expired");
});

Deno.test("caveatOf: writes what readCaveats reads", () => {
  const written = [
    caveatOf.services(),
    caveatOf.capabilities(["jobs", "chat"]),
    caveatOf.validUntil(1_893_456_000),
    caveatOf.session("h-1"),
    caveatOf.job("j"),
    caveatOf.npub(NPUB),
    caveatOf.maxSats(21),
    caveatOf.model("a", "b"),
  ];
  assert.deepEqual(written, [
    SERVICES,
    JOBS_AND_CHAT,
    "timmy_valid_until=1893456000",
    "session=h-1",
    "job=j",
    `npub=${NPUB}`,
    "max_sats=21",
    "model=a,b",
  ]);
  assert.equal(readCaveats(written, NOW).ok, true);
});

Deno.test("caveatOf: refuses to write what would be refused", () => {
  const writes = [
    () => caveatOf.capabilities([]),
    () => caveatOf.validUntil(1_893_456_000_000), // milliseconds
    () => caveatOf.validUntil(1_893_456_000.5),
    () => caveatOf.maxSats(0),
    () => caveatOf.maxSats(1e21),
    () => caveatOf.maxSats(NaN),
    () => caveatOf.model(),
    () => caveatOf.model("a,b", "a"),
    () => caveatOf.session(""),
    () => caveatOf.session("a=b"),
    () => caveatOf.npub("ab".repeat(32)),
  ];
  for (const write of writes) assert.throws(write, RangeError, String(write));
});

const oneOf = (...values: string[]) => fc.constantFrom(...values);
const subset = (...names: string[]) => fc.subarray(names, { minLength: 1 }).map((chosen) => chosen.join(","));
const anyCaveat = fc.oneof(
  fc.constant(SERVICES),
  subset("jobs", "chat").map((names) => `timmy_capabilities=${names}`),
  fc.integer({ min: -2, max: 4 }).map((offset) => `timmy_valid_until=${NOW + offset}`),
  fc.integer({ min: 0, max: 4 }).map((sats) => `max_sats=${sats}`),
  subset("a", "b", "c").map((names) => `model=${names}`),
  fc.tuple(oneOf("session", "job"), oneOf("x", "y")).map((parts) => parts.join("=")),
  oneOf(`npub=${NPUB}`, "unknown=1", "services=other:0", "services"),
);

/** Everything a caller could ask of the tokens above. */
const asks = fc.record({
  capability: fc.constantFrom<Capability>("jobs", "chat"),
  at: fc.integer({ min: NOW - 3, max: NOW + 5 }),
  model: oneOf("a", "b", "c", "d"),
  sats: fc.integer({ min: 0, max: 5 }),
  session: oneOf("x", "y"),
  job: oneOf("x", "y"),
  npub: oneOf(NPUB, "npub1other"),
});

/** The plain meaning of a token's permissions, apart from how they were read. */
function allows(caveats: string[], ask: typeof asks extends fc.Arbitrary<infer T> ? T : never): boolean {
  const read = readCaveats(caveats, ask.at);
  if (!read.ok) return false;
  const { capabilities, models, maxSats, session, job, npub } = read.permissions;
  return capabilities.has(ask.capability) && (models?.has(ask.model) ?? true) &&
    maxSats.every(({ sats }) => ask.sats <= sats) &&
    (session ?? ask.session) === ask.session && (job ?? ask.job) === ask.job && (npub ?? ask.npub) === ask.npub;
}

Deno.test("readCaveats: whatever is added to a minted token, it never allows what it did not allow before", () => {
  let allowed = 0;
  fc.assert(
    // What the server mints names its service and its capabilities; only a token without them could gain them.
    fc.property(
      fc.array(anyCaveat, { maxLength: 3 }),
      fc.array(anyCaveat, { maxLength: 4 }),
      asks,
      (first, more, ask) => {
        for (const capabilities of [JOBS_AND_CHAT, "timmy_capabilities=jobs"]) {
          const minted = [SERVICES, capabilities, ...first];
          const narrowed = allows([...minted, ...more], ask);
          if (narrowed) allowed++;
          assert.ok(!narrowed || allows(minted, ask), JSON.stringify({ minted, more, ask }));
        }
      },
    ),
    { numRuns: 3_000 },
  );
  assert.ok(allowed > 100, `only ${allowed} narrowed tokens allowed anything: the property says little`);
});
