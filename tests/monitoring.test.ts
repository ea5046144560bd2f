/** Rules, dashboard and runbook speak of figures that the program writes, and each alert has a test and a runbook. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { z } from "zod";
import { createMetricsPush } from "@/lib/metrics/push.ts";
import { type Family, sampleNames } from "@/lib/metrics/text.rules.ts";
import { createFakeWorld } from "./harness/fake-world.ts";
import { paidJob } from "./harness/payer.ts";

const FOLDER = new URL("../docs/operations/monitoring/", import.meta.url);
const read = (name: string) => Deno.readTextFile(new URL(name, FOLDER));

const rule = z.object({
  alert: z.string().regex(/^Timmy[A-Z]\w+$/),
  expr: z.string().min(1),
  for: z.string().regex(/^\d+[mh]$/).optional(),
  labels: z.strictObject({ severity: z.enum(["critical", "warning", "info"]) }),
  annotations: z.strictObject({ summary: z.string().min(20) }),
}).strict();
const rulesFile = z.strictObject({ groups: z.array(z.strictObject({ name: z.string(), rules: z.array(rule) })) });

const datasource = z.strictObject({ type: z.literal("prometheus"), uid: z.literal("${datasource}") });
const whole = z.number().int().nonnegative();
const gridPos = z.strictObject({ x: whole, y: whole, w: whole.max(24), h: whole });
const UNITS = ["short", "s", "reqps", "ops", "Bps", "bytes", "bool_yes_no", "dateTimeFromNow"];
const row = z.strictObject({
  id: whole,
  type: z.literal("row"),
  title: z.string().min(1),
  collapsed: z.boolean(),
  gridPos,
});
const panel = z.strictObject({
  id: whole,
  type: z.enum(["timeseries", "stat"]),
  title: z.string().min(1),
  datasource,
  gridPos,
  fieldConfig: z.strictObject({
    defaults: z.strictObject({ unit: z.enum(UNITS), min: z.number().optional() }),
    overrides: z.array(z.never()),
  }),
  targets: z.array(
    z.strictObject({
      refId: z.string().length(1),
      datasource,
      expr: z.string().min(1),
      legendFormat: z.string().min(1),
    }),
  ).min(1),
});
const dashboardFile = z.object({
  uid: z.string(),
  title: z.string(),
  schemaVersion: z.literal(38),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.enum(["datasource", "query"]) })) }),
  panels: z.array(z.discriminatedUnion("type", [row, panel])),
});

const rules = async () => rulesFile.parse(parse(await read("rules.yml"))).groups.flatMap(({ rules }) => rules);
const dashboard = async () => dashboardFile.parse(JSON.parse(await read("dashboard.json")));

/** Every family of an instance that tells all it can, its labels with it. */
async function families(): Promise<readonly Family[]> {
  const { world, call, clock, discard } = await createFakeWorld(1, { settings: { metricsMoney: true } });
  const { metrics, publicFetch, log } = world.deps;
  const settings = { url: "https://otel.example.com/", token: null, everyMs: 60_000 };
  createMetricsPush({ settings, registry: metrics.registry, publicFetch, clock, log, version: "1", instance: "i" });
  metrics.registry.gauge(
    "timmy_not_read",
    "Fails, so that a failure is counted",
    () => Promise.reject(new Error("no")),
  );
  await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  await call("GET", "/metrics");
  await clock.advance(1_001);
  const found = await clock.drive(metrics.registry.collect());
  discard();
  return found;
}
const known = families();

/** Names of figures that stand in an expression or a document, as they are written on the wire. */
const namesIn = (text: string): string[] => [...new Set(text.match(/\b(?:timmy|process)_[a-z0-9_]+/g))];

/** What of an expression speaks of no figure, or of a label that it has not. */
async function unknownIn(expr: string): Promise<string[]> {
  const labels = new Map<string, Set<string>>();
  for (const family of await known) {
    const own = [...family.samples].flatMap((sample) => Object.keys(sample.labels));
    const all = new Set([...own, "instance", "job", ...family.type === "histogram" ? ["le"] : []]);
    for (const name of sampleNames(family)) labels.set(name, all);
  }
  const matchers = [...expr.matchAll(/\b((?:timmy|process)_[a-z0-9_]+)\{([^}]*)\}/g)];
  return [
    ...namesIn(expr).filter((name) => !labels.has(name)),
    ...matchers.flatMap(([, name = "", inner = ""]) =>
      [...inner.matchAll(/(\w+)(?==|!)/g)].map(([label]) => label).filter((label) => !labels.get(name)?.has(label))
        .map((label) => `${name}{${label}}`)
    ),
  ];
}

Deno.test("rules: every figure and label in them is one that the program writes", async () => {
  for (const { alert, expr } of await rules()) assert.deepEqual(await unknownIn(expr), [], alert);
});

Deno.test("rules: a figure or a label that is none is found, however it is written", async () => {
  assert.deepEqual(await unknownIn("rate(timmy_nothing_total[5m]) > timmy_queue_overdue"), ["timmy_nothing_total"]);
  assert.deepEqual(await unknownIn("timmy_store_commits"), ["timmy_store_commits"], "a counter is written with _total");
  assert.deepEqual(await unknownIn('timmy_ready{part="x",payer!="y"}'), ["timmy_ready{payer}"]);
  assert.deepEqual(await unknownIn('timmy_http_request_seconds_bucket{le="1.0",route=~"/x"}'), []);
});

Deno.test("rules: each alert has a section of the runbook and a test, and none of them is of another alert", async () => {
  const alerts = (await rules()).map(({ alert }) => alert).sort();
  assert.equal(new Set(alerts).size, alerts.length);
  const sections = [...(await read("README.md")).matchAll(/^### (\w+)\n\n(?=\S)/gm)].map(([, name]) => name);
  assert.deepEqual(sections.sort(), alerts);
  const { tests } = parse(await read("rules.test.yml")) as { tests: { alert_rule_test: { alertname: string }[] }[] };
  const tested = tests.flatMap(({ alert_rule_test }) => alert_rule_test.map(({ alertname }) => alertname));
  assert.deepEqual(tested.sort(), alerts);
});

Deno.test("README.md: its table names every figure that the program writes, and no other", async () => {
  const text = await read("README.md");
  const wire = (await known).flatMap((family) => family.type === "histogram" ? [family.name] : sampleNames(family));
  assert.deepEqual(namesIn(text).sort(), wire.sort());
});

Deno.test("README.md: the labels in its table are those of the figures", async () => {
  const byName = new Map((await known).map((family) => [sampleNames(family)[0]?.replace(/_bucket$/, ""), family]));
  const named = [...(await read("README.md")).matchAll(/`((?:timmy|process)_[a-z0-9_]+)(?:\{([a-z,]+)\})?`/g)];
  const inTable = new Map<string, string[]>();
  for (const [, name = "", labels] of named) if (labels) inTable.set(name, labels.split(",").sort());
  for (const [name = "", family] of byName) {
    const sample = family.samples[0];
    if (sample) assert.deepEqual(inTable.get(name) ?? [], Object.keys(sample.labels).sort(), name);
  }
});

Deno.test("dashboard: it has the form that Grafana imports, ids are unique, and no panel lies on another", async () => {
  const { panels, templating } = await dashboard();
  assert.deepEqual(templating.list.map(({ name, type }) => [name, type]), [
    ["datasource", "datasource"],
    ["instance", "query"],
  ]);
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert.ok(w > 0 && h > 0 && x + w <= 24, title);
    for (let i = x; i < x + w; i++) {
      for (let j = y; j < y + h; j++) {
        assert.ok(!taken.has(`${i},${j}`), `${title} lies on another panel`);
        taken.add(`${i},${j}`);
      }
    }
  }
});

Deno.test("dashboard: every expression is about figures that the program writes, of the instances that are chosen", async () => {
  const { panels } = await dashboard();
  const exprs = panels.flatMap((one) => one.type === "row" ? [] : one.targets.map(({ expr }) => expr));
  assert.ok(exprs.length > 40);
  for (const expr of exprs) {
    assert.deepEqual(await unknownIn(expr), [], expr);
    assert.ok(namesIn(expr).length > 0, expr);
    assert.equal(expr.match(/instance=~"\$instance"/g)?.length, namesIn(expr).length, expr);
  }
});

Deno.test("dashboard: no figure is left out of it", async () => {
  const shown = namesIn(JSON.stringify((await dashboard()).panels));
  const missing = (await known).filter((family) => !sampleNames(family).some((name) => shown.includes(name)));
  assert.deepEqual(missing.map(({ name }) => name), []);
});
