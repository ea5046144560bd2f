import assert from "node:assert/strict";
import { createRegistry } from "./registry.ts";

Deno.test("text: OpenMetrics, each family with its type and help, counters with _total, and the end marked", async () => {
  const registry = createRegistry();
  const requests = registry.counter("timmy_requests", "Requests");
  requests.add({ route: "/api/jobs/:id", status: "200" });
  requests.add({ route: "/api/jobs/:id", status: "200" }, 2);
  registry.gauge("timmy_ready", "Whether", () => [{ labels: { part: "store" }, value: 1 }]);
  registry.counted("timmy_commits", "Commits", () => Promise.resolve(7));
  assert.equal(
    await registry.text(),
    [
      "# TYPE timmy_requests counter",
      "# HELP timmy_requests Requests",
      'timmy_requests_total{route="/api/jobs/:id",status="200"} 3',
      "# TYPE timmy_ready gauge",
      "# HELP timmy_ready Whether",
      'timmy_ready{part="store"} 1',
      "# TYPE timmy_commits counter",
      "# HELP timmy_commits Commits",
      "timmy_commits_total 7",
      "# EOF",
      "",
    ].join("\n"),
  );
});

Deno.test("histogram: buckets add up from below, the last one is everything", async () => {
  const registry = createRegistry();
  const seconds = registry.histogram("timmy_seconds", "Seconds", [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 30]) seconds.observe({}, value);
  const lines = (await registry.text()).split("\n").filter((line) => line.startsWith("timmy_"));
  assert.deepEqual(lines, [
    'timmy_seconds_bucket{le="0.1"} 2',
    'timmy_seconds_bucket{le="1"} 3',
    'timmy_seconds_bucket{le="+Inf"} 4',
    "timmy_seconds_sum 30.65",
    "timmy_seconds_count 4",
  ]);
});

Deno.test("a label that somebody else chooses cannot fill the memory, nor break out of its quotes", async () => {
  const registry = createRegistry();
  const counter = registry.counter("timmy_things", "Things");
  for (let i = 0; i < 2_000; i++) counter.add({ name: `n${i}` });
  counter.add({ name: "n0" });
  const lines = (await registry.text()).split("\n").filter((line) => line.startsWith("timmy_things_total"));
  assert.ok(lines.length <= 501, `${lines.length} series`);
  const all = lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  assert.equal(all, 2_001, "nothing is lost: the rest is counted as one");
  const other = createRegistry();
  other.counter("timmy_quoted", 'Says "so"').add({ name: 'a"} 1\nb\\' });
  assert.match(await other.text(), /^timmy_quoted_total\{name="a\\"\} 1\\nb\\\\"\} 1$/m);
});

Deno.test("names: one family each, ours alone", () => {
  const registry = createRegistry();
  registry.counter("timmy_a", "A");
  assert.throws(() => registry.counter("timmy_a", "A"), /cannot be named/);
  assert.throws(() => registry.counter("Timmy-b", "B"), /cannot be named/);
});

Deno.test("a figure that nobody can tell is left out, and the others are there", async () => {
  const registry = createRegistry();
  registry.gauge("timmy_unknown", "Unknown", () => null);
  registry.gauge("timmy_known", "Known", () => 1);
  const text = await registry.text();
  assert.doesNotMatch(text, /^timmy_unknown /m);
  assert.match(text, /^timmy_known 1$/m);
});
