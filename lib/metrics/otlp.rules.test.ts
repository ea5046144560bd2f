import assert from "node:assert/strict";
import fc from "fast-check";
import { type OtlpMetric, otlpOf } from "./otlp.rules.ts";
import type { Family } from "./text.rules.ts";

const TOLD = { version: "1.2.3", instance: "ab", startedAt: 1_700_000_000_123, now: 1_700_000_060_456.7 };
const metrics = (families: Family[]): OtlpMetric[] => {
  const [resource] = otlpOf(families, TOLD).resourceMetrics;
  return resource?.scopeMetrics[0]?.metrics ?? [];
};

Deno.test("OTLP: a counter is a cumulative sum, a gauge and an info gauges, each with its unit; numbers of 64 bits are text", () => {
  const labels = { outcome: "paid" };
  const attributes = [{ key: "outcome", value: { stringValue: "paid" } }];
  const [startTimeUnixNano, timeUnixNano] = ["1700000000123000000", "1700000060456000000"];
  assert.deepEqual(
    metrics([
      { name: "timmy_paid_sats", help: "Paid", type: "counter", samples: [{ labels, value: 3 }] },
      { name: "timmy_age_seconds", help: "Age", type: "gauge", samples: [{ labels: {}, value: 0.5 }] },
      { name: "timmy_build", help: "Build", type: "info", samples: [{ labels, value: 1 }] },
      { name: "timmy_none", help: "None", type: "gauge", samples: [] },
    ]),
    [
      {
        name: "timmy_paid_sats",
        description: "Paid",
        unit: "{sat}",
        sum: {
          dataPoints: [{ attributes, startTimeUnixNano, timeUnixNano, asDouble: 3 }],
          aggregationTemporality: 2,
          isMonotonic: true,
        },
      },
      {
        name: "timmy_age_seconds",
        description: "Age",
        unit: "s",
        gauge: { dataPoints: [{ attributes: [], timeUnixNano, asDouble: 0.5 }] },
      },
      {
        name: "timmy_build_info",
        description: "Build",
        unit: "",
        gauge: { dataPoints: [{ attributes, timeUnixNano, asDouble: 1 }] },
      },
    ],
  );
});

Deno.test("OTLP: a histogram's buckets are each its own count, one more than bounds, and add up to the count", () => {
  const counts = fc.array(fc.nat(), { minLength: 1, maxLength: 8 });
  fc.assert(fc.property(counts, (counts) => {
    const bounds = counts.slice(1).map((_, i) => i + 1);
    const [metric] = metrics([
      { name: "timmy_x_bytes", help: "X", type: "histogram", bounds, samples: [{ labels: {}, counts, sum: 2.5 }] },
    ]);
    assert.ok(metric && "histogram" in metric);
    const [point] = metric.histogram.dataPoints;
    assert.ok(point);
    assert.equal(metric.unit, "By");
    assert.equal(metric.histogram.aggregationTemporality, 2);
    assert.deepEqual(point.bucketCounts, counts.map(String));
    assert.equal(point.explicitBounds.length + 1, point.bucketCounts.length);
    assert.equal(point.count, String(counts.reduce((a, b) => a + b, 0)));
    assert.equal(point.sum, 2.5);
  }));
});

Deno.test("OTLP: the resource names the program, its version and a process, and nothing else", () => {
  const [resource] = otlpOf([], TOLD).resourceMetrics;
  assert.deepEqual(resource?.resource.attributes.map(({ key, value }) => [key, value.stringValue]), [
    ["service.name", "timmy"],
    ["service.version", "1.2.3"],
    ["service.instance.id", "ab"],
  ]);
  assert.deepEqual(resource?.scopeMetrics[0]?.scope, { name: "timmy", version: "1.2.3" });
});
