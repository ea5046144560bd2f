import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createRegistry } from "./registry.ts";
import { formatFor } from "./text.rules.ts";

const make = () => createRegistry(systemClock);

Deno.test("text: OpenMetrics, each family with its type, unit and help, counters with _total, and the end marked", async () => {
  const registry = make();
  const requests = registry.counter("timmy_requests", 'Requests, "so"', ["route", "status"]);
  requests.add({ route: "/api/jobs/:id", status: "200" });
  requests.add({ status: "200", route: "/api/jobs/:id" }, 2);
  registry.gauge("timmy_ready", "Whether", () => [{ labels: { part: "store" }, value: 1 }]);
  registry.counted("timmy_written_bytes", "Written", () => Promise.resolve(7));
  registry.info("timmy_build", "Build", { version: "1" });
  const lines = [
    ["timmy_requests counter", 'Requests, \\"so\\"', 'timmy_requests_total{route="/api/jobs/:id",status="200"} 3'],
    ["timmy_ready gauge", "Whether", 'timmy_ready{part="store"} 1'],
    ["timmy_written_bytes counter", "Written", "timmy_written_bytes_total 7"],
    ["timmy_build info", "Build", 'timmy_build_info{version="1"} 1'],
  ].flatMap(([type = "", help, line]) => {
    const [name] = type.split(" ");
    return [
      `# TYPE ${type}`,
      ...(name === "timmy_written_bytes" ? [`# UNIT ${name} bytes`] : []),
      `# HELP ${name} ${help}`,
      line,
    ];
  });
  const unread = ["# TYPE timmy_metrics_unread counter"];
  const text = await registry.text("openmetrics");
  assert.equal(text.slice(0, lines.join("\n").length), lines.join("\n"));
  assert.deepEqual(text.split("\n").slice(lines.length, lines.length + 1), unread);
  assert.match(text, /\n# EOF\n$/);
});

Deno.test("text: who asks for the older format gets it: names as they are written, no unit, no info, no end", async () => {
  const registry = make();
  registry.counted("timmy_written_bytes", 'Written "so"', () => 7);
  registry.info("timmy_build", "Build", { version: "1" });
  assert.equal(
    (await registry.text("prometheus")).split("# HELP timmy_metrics_unread")[0],
    '# HELP timmy_written_bytes_total Written "so"\n# TYPE timmy_written_bytes_total counter\n' +
      "timmy_written_bytes_total 7\n# HELP timmy_build_info Build\n# TYPE timmy_build_info gauge\n" +
      'timmy_build_info{version="1"} 1\n',
  );
  const accepts = {
    "": "openmetrics",
    "*/*": "openmetrics",
    "text/plain;version=0.0.4": "prometheus",
    "TEXT/PLAIN": "prometheus",
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": "openmetrics",
  };
  for (const [accept, format] of Object.entries(accepts)) assert.equal(formatFor(accept), format, accept);
  assert.equal(formatFor(undefined), "openmetrics");
});

Deno.test("histogram: buckets add up from below, bounds are floats, the last one is everything", async () => {
  const registry = make();
  const seconds = registry.histogram("timmy_seconds", "Seconds", [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 30]) seconds.observe({}, value);
  const lines = (await registry.text("openmetrics")).split("\n").filter((line) => line.startsWith("timmy_"));
  assert.deepEqual(lines, [
    'timmy_seconds_bucket{le="0.1"} 2',
    'timmy_seconds_bucket{le="1.0"} 3',
    'timmy_seconds_bucket{le="+Inf"} 4',
    "timmy_seconds_sum 30.65",
    "timmy_seconds_count 4",
  ]);
});

Deno.test("a label that somebody else chooses cannot fill the memory, nor break out of its quotes", async () => {
  const registry = make();
  const counter = registry.counter("timmy_things", "Things", ["name"]);
  for (let i = 0; i < 3_000; i++) counter.add({ name: `n${i}` });
  counter.add({ name: "n0" });
  const lines = (await registry.text("openmetrics")).split("\n").filter((line) =>
    line.startsWith("timmy_things_total")
  );
  assert.ok(lines.length <= 1_001, `${lines.length} series`);
  const all = lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  assert.equal(all, 3_001, "nothing is lost: the rest is counted as one");
  assert.ok(lines.some((line) => line.startsWith('timmy_things_total{name="other"}')));
  const other = make();
  other.counter("timmy_quoted", "So", ["name"]).add({ name: 'a"} 1\nb\\' });
  assert.match(await other.text("openmetrics"), /^timmy_quoted_total\{name="a\\"\} 1\\nb\\\\"\} 1$/m);
});

Deno.test("a label that was not named beforehand is not told, whoever passes it", async () => {
  const registry = make();
  const counter = registry.counter("timmy_things", "Things", ["name"]);
  counter.add({ name: "a", payer: "alice" } as { name: string });
  counter.add({ payer: "bob", name: "a" } as { name: string });
  assert.match(await registry.text("openmetrics"), /^timmy_things_total\{name="a"\} 2$/m);
});

Deno.test("names: one family each, ours alone, and none that looks like the lines of another", () => {
  const registry = make();
  registry.counter("timmy_a", "A");
  for (
    const name of ["timmy_a", "Timmy-b", "go_c", "timmy_b_total", "timmy_b_count", "timmy_b_info", "timmy_b_bucket"]
  ) {
    assert.throws(() => registry.counter(name, "A"), /cannot be named/, name);
  }
});

Deno.test("a figure that nobody can tell, that fails or that hangs is left out and counted; the others are there", async () => {
  const clock = createFakeClock();
  const registry = createRegistry(clock);
  registry.gauge("timmy_unknown", "Unknown", () => null);
  registry.gauge("timmy_thrown", "Throws", () => {
    throw new Error("no");
  });
  registry.gauge("timmy_rejected", "Rejects", () => Promise.reject(new Error("no")));
  registry.gauge("timmy_hanging", "Hangs", () => new Promise<number>(() => {}));
  registry.gauge("timmy_no_number", "No number", () => NaN);
  registry.counted("timmy_endless", "Infinite", () => [{ labels: {}, value: Infinity }]);
  registry.gauge("timmy_known", "Known", () => 1);
  const text = await clock.drive(registry.text("openmetrics"));
  assert.match(text, /^timmy_known 1$/m);
  assert.doesNotMatch(text, /^timmy_unknown /m);
  for (const name of ["thrown", "rejected", "hanging", "no_number", "endless"]) {
    assert.doesNotMatch(text, new RegExp(`^timmy_${name}(_total)? `, "m"));
    assert.match(text, new RegExp(`^timmy_metrics_unread_total\\{metric="timmy_${name}"\\} 1$`, "m"));
  }
  assert.doesNotMatch(text, /unread_total\{metric="timmy_(unknown|known)"/);
});

Deno.test("collections: at most one at a time and one a second, however many ask", async () => {
  const clock = createFakeClock();
  const registry = createRegistry(clock);
  const gates: (() => void)[] = [];
  registry.gauge("timmy_slow", "Slow", () => new Promise((resolve) => gates.push(() => resolve(gates.length))));
  const many = Array.from({ length: 50 }, (_, i) => registry.text(i % 2 ? "openmetrics" : "prometheus"));
  await clock.settle();
  assert.equal(gates.length, 1);
  gates[0]?.();
  for (const text of await Promise.all(many)) assert.match(text, /^timmy_slow 1$/m);
  await clock.advance(999);
  await registry.collect();
  assert.equal(gates.length, 1, "what is less than a second old is told again");
  await clock.advance(2);
  const later = registry.collect();
  await clock.settle();
  assert.equal(gates.length, 2);
  gates[1]?.();
  await later;
});

Deno.test("a figure that hangs is asked once until it answers, and counted each time that it is missing", async () => {
  const clock = createFakeClock();
  const registry = createRegistry(clock);
  const answers: ((value: number) => void)[] = [];
  registry.gauge("timmy_hanging", "Hangs", () => new Promise((resolve) => answers.push(resolve)));
  for (let i = 1; i <= 3; i++) {
    const text = await clock.drive(registry.text("openmetrics"));
    assert.match(text, new RegExp(`^timmy_metrics_unread_total\\{metric="timmy_hanging"\\} ${i}$`, "m"));
    await clock.advance(1_001);
  }
  assert.equal(answers.length, 1);
  const next = registry.text("openmetrics");
  answers[0]?.(7);
  assert.match(await clock.drive(next), /^timmy_hanging 7$/m);
  await clock.advance(1_001);
  void registry.collect();
  await clock.settle();
  assert.equal(answers.length, 2);
});

Deno.test("a look for several figures is done once a collection, and anew for the next", async () => {
  const clock = createFakeClock();
  const registry = createRegistry(clock);
  let looks = 0;
  const look = registry.once(() => Promise.resolve(++looks));
  for (const name of ["timmy_a", "timmy_b", "timmy_c"]) registry.gauge(name, "Looks", look);
  assert.match(await registry.text("openmetrics"), /^timmy_a 1\n[^]*^timmy_c 1$/m);
  await clock.advance(1_001);
  assert.match(await registry.text("openmetrics"), /^timmy_a 2\n[^]*^timmy_c 2$/m);
});

Deno.test("steps and zeros: a single request's share is not told, and what never happened is 0", async () => {
  const clock = createFakeClock();
  const registry = createRegistry(clock);
  const tokens = registry.counter("timmy_tokens", "Tokens", ["model"], { step: 1_000, zeros: [{ model: "b" }] });
  tokens.add({ model: "a" }, 1_999);
  const first = await registry.text("openmetrics");
  assert.match(first, /^timmy_tokens_total\{model="a"\} 1000$/m);
  assert.match(first, /^timmy_tokens_total\{model="b"\} 0$/m);
  tokens.add({ model: "a" });
  await clock.advance(1_001);
  assert.match(await registry.text("openmetrics"), /^timmy_tokens_total\{model="a"\} 2000$/m);
});
