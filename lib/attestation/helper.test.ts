import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { createHelper, HelperError } from "./helper.ts";
import { answerLine, MAX_ANSWER, MAX_QUESTION, parseQuestion, readLine, writeAll } from "./helper-protocol.ts";

const REPORT_DATA = new Uint8Array(64).fill(0xab);
const QUOTE = { kind: "sev-snp" as const, quote: Uint8Array.of(1, 2, 3), certificates: null };
const PROGRAM = new URL("../../attestation-helper.ts", import.meta.url).pathname;
/** Its own list of packages. */
const CONFIG = new URL("../../ctl/deno.json", import.meta.url).pathname;

interface Listening {
  connect(): Promise<Deno.Conn>;
}

/** What answers, over TCP: a Unix socket needs a permission by its path, or all of the network. */
async function withHelper(
  answer: (connection: Deno.Conn, question: string | null) => Promise<unknown>,
  test: (helper: Listening) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const open = new Set<Deno.Conn>();
  const serving = (async () => {
    for await (const connection of listener) {
      open.add(connection);
      if (await answer(connection, await readLine(connection, MAX_QUESTION)) !== "kept") {
        connection.close();
        open.delete(connection);
      }
    }
  })();
  try {
    await test({ connect: () => Deno.connect({ hostname: "127.0.0.1", port }) });
  } finally {
    listener.close();
    for (const connection of open) connection.close();
    await serving;
  }
}

const says = (text: string) => (connection: Deno.Conn) => writeAll(connection, text);
const clientOf = ({ connect }: Listening, more: { deadlineMs?: number; maxWaiting?: number } = {}) =>
  createHelper({ socket: "a test's", clock: systemClock, connect, ...more });
const refused = (pattern: RegExp) => (error: unknown) => error instanceof HelperError && pattern.test(error.message);

Deno.test("helper: asked with the report data, its quote comes back", async () => {
  const asked: (string | null)[] = [];
  const answers = [QUOTE, { ...QUOTE, kind: "nitro" as const }, {
    ...QUOTE,
    certificates: new Uint8Array(20_000).fill(7),
  }];
  await withHelper(async (connection, question) => {
    asked.push(question);
    await says(answerLine(answers[asked.length - 1]!))(connection);
  }, async (listening) => {
    const helper = clientOf(listening);
    for (const answer of answers) assert.deepEqual(await helper(REPORT_DATA), answer);
  });
  for (const question of asked) assert.deepEqual(parseQuestion(question ?? ""), REPORT_DATA);
});

Deno.test("helper: whatever is no answer is refused and said, and the next question is asked anew", async () => {
  const cases: [string, string, RegExp][] = [
    ["its own error", answerLine({ error: "no hardware" }), /no hardware/],
    ["nothing", "", /something else/],
    ["no line", '{"error":"x"}', /something else/],
    ["no JSON", "hello\n", /something else/],
    ["two lines", answerLine(QUOTE) + answerLine(QUOTE), /something else/],
    ["more fields", '{"kind":"tdx","quote":"AQID","extra":1}\n', /something else/],
    ["another kind", '{"kind":"sgx","quote":"AQID"}\n', /something else/],
    ["none", '{"kind":"none","quote":"AQID"}\n', /something else/],
    ["no base64", '{"kind":"tdx","quote":"%%%"}\n', /something else/],
    ["an empty quote", '{"kind":"tdx","quote":""}\n', /something else/],
    ["too much", `{"kind":"tdx","quote":"${"A".repeat(MAX_ANSWER)}"}\n`, /something else|does not answer/],
  ];
  let next = 0;
  await withHelper(
    (connection) => says(cases[next++]?.[1] ?? answerLine(QUOTE))(connection).catch(() => {}),
    async (listening) => {
      const helper = clientOf(listening);
      for (const [what, , pattern] of cases) await assert.rejects(helper(REPORT_DATA), refused(pattern), what);
      assert.deepEqual(await helper(REPORT_DATA), QUOTE);
    },
  );
});

Deno.test("helper: one that is not there, or silent, or slow is refused within its time", async () => {
  const absent = clientOf({ connect: () => Promise.reject(new Deno.errors.NotFound("no such file")) });
  await assert.rejects(absent(REPORT_DATA), refused(/does not answer: no such file/));
  for (const text of ["", '{"kind":']) {
    await withHelper((connection) => writeAll(connection, text).then(() => "kept"), async (listening) => {
      const helper = clientOf(listening, { deadlineMs: 100 });
      await assert.rejects(helper(REPORT_DATA), refused(/longer than 100 ms/));
    });
  }
});

Deno.test("helper: one question at a time; who comes when too many wait is told so at once", async () => {
  let [now, most] = [0, 0];
  const gate = Promise.withResolvers<void>();
  await withHelper(async (connection) => {
    most = Math.max(most, ++now);
    await gate.promise;
    now--;
    await says(answerLine(QUOTE))(connection);
  }, async (listening) => {
    const helper = clientOf(listening, { maxWaiting: 3 });
    const asked = [helper(REPORT_DATA), helper(REPORT_DATA), helper(REPORT_DATA)];
    await assert.rejects(helper(REPORT_DATA), (error) => error instanceof HelperError && error.busy);
    gate.resolve();
    assert.deepEqual(await Promise.all(asked), [QUOTE, QUOTE, QUOTE]);
    assert.deepEqual(await helper(REPORT_DATA), QUOTE, "there is room again");
  });
  assert.equal(most, 1);
});

/** A program of its own, with the permissions that it has where it is installed. */
const run = (script: string, args: string[]) =>
  new Deno.Command("deno", {
    args: ["run", "--config", CONFIG, "--quiet", "--no-prompt", "-A", script, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();

async function outputOf(child: Deno.ChildProcess, input = ""): Promise<string> {
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { stdout } = await child.output();
  return new TextDecoder().decode(stdout);
}

Deno.test("the helper's program: says what is wrong with a question, and that a machine has no such hardware", async () => {
  const question = `{"reportData":"${"ab".repeat(64)}"}\n`;
  const [bad, none] = await Promise.all([
    outputOf(run(PROGRAM, []), '{"reportData":"ab"}\n'),
    outputOf(run(PROGRAM, ["--tsm", "/nonexistent/tsm"]), question),
  ]);
  assert.deepEqual(JSON.parse(bad), { error: "the question is not understood" });
  assert.match(JSON.parse(none).error, /neither \/nonexistent\/tsm nor \/dev\/nsm/);
});

Deno.test("the helper's program: answers the client over a socket of its own, again and again", async () => {
  const folder = await Deno.makeTempDir();
  const socket = `${folder}/s`;
  const helper = run(PROGRAM, ["--listen", socket, "--tsm", folder]);
  try {
    const reader = helper.stdout.getReader();
    assert.match(new TextDecoder().decode((await reader.read()).value), /^listening/);
    reader.releaseLock();
    // An ordinary folder makes no files of its own, as configfs does, and the helper says so.
    const told = await outputOf(run(new URL("testing/ask-helper.ts", import.meta.url).pathname, [socket, "2"]));
    const error = /^HelperError: the attestation helper: NotFound: .*provider/;
    assert.deepEqual(told.trim().split("\n").map((line) => error.test(line)), [true, true], told);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["s"], "no entry is left behind");
  } finally {
    helper.kill("SIGTERM");
    await helper.status;
    await helper.stdout.cancel();
    await helper.stdin.close();
    await Deno.remove(folder, { recursive: true });
  }
});
