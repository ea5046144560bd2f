/**
 * Collected figures as a request of OTLP/HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding,
 * opentelemetry/proto/metrics/v1/metrics.proto). 64-bit whole numbers are text there. Pure.
 */
import type { Family, Labels } from "./text.rules.ts";
import { unitOf } from "./text.rules.ts";

/** Sums since `startTimeUnixNano`, as AGGREGATION_TEMPORALITY_CUMULATIVE says. */
const CUMULATIVE = 2;
/** UCUM's names, as OTLP wants them. */
const UNITS = { seconds: "s", bytes: "By", sats: "{sat}" } as const;

interface Attribute {
  key: string;
  value: { stringValue: string };
}
interface Point {
  attributes: Attribute[];
  startTimeUnixNano?: string;
  timeUnixNano: string;
}
interface NumberPoint extends Point {
  asDouble: number;
}
interface HistogramPoint extends Point {
  count: string;
  sum: number;
  bucketCounts: string[];
  explicitBounds: number[];
}
type Data =
  | { gauge: { dataPoints: NumberPoint[] } }
  | { sum: { dataPoints: NumberPoint[]; aggregationTemporality: number; isMonotonic: true } }
  | { histogram: { dataPoints: HistogramPoint[]; aggregationTemporality: number } };
export type OtlpMetric = { name: string; description: string; unit: string } & Data;

/** An ExportMetricsServiceRequest. */
export interface OtlpRequest {
  resourceMetrics: {
    resource: { attributes: Attribute[] };
    scopeMetrics: { scope: { name: string; version: string }; metrics: OtlpMetric[] }[];
  }[];
}

/** Which process speaks, and since when and until when it counted (ms since the epoch). */
export interface Told {
  version: string;
  /** Chosen at random for this process: tells two of them apart, and nothing else. */
  instance: string;
  startedAt: number;
  now: number;
}

export function otlpOf(families: readonly Family[], told: Told): OtlpRequest {
  const resource = { "service.name": "timmy", "service.version": told.version, "service.instance.id": told.instance };
  const metrics = families.filter(({ samples }) => samples.length > 0).map((family) => metricOf(family, told));
  return {
    resourceMetrics: [{
      resource: { attributes: attributesOf(resource) },
      scopeMetrics: [{ scope: { name: "timmy", version: told.version }, metrics }],
    }],
  };
}

function metricOf(family: Family, told: Told): OtlpMetric {
  const { name, help, type } = family;
  const unit = unitOf(name);
  // What ends up in Prometheus has its names from there: a unit of "1" would be written as `_ratio` behind a gauge's.
  const head = { name: type === "info" ? `${name}_info` : name, unit: unit ? UNITS[unit] : "" };
  return { ...head, description: help, ...dataOf(family, told) };
}

function dataOf(family: Family, { startedAt, now }: Told): Data {
  const time = { timeUnixNano: nanos(now) };
  const since = { startTimeUnixNano: nanos(startedAt), ...time };
  if (family.type === "histogram") {
    const dataPoints = family.samples.map(({ labels, counts, sum }) => ({
      attributes: attributesOf(labels),
      ...since,
      count: String(counts.reduce((a, b) => a + b, 0)),
      sum,
      bucketCounts: counts.map(String),
      explicitBounds: [...family.bounds],
    }));
    return { histogram: { dataPoints, aggregationTemporality: CUMULATIVE } };
  }
  const points = (times: Omit<Point, "attributes">) =>
    family.samples.map(({ labels, value }) => ({ attributes: attributesOf(labels), ...times, asDouble: value }));
  if (family.type !== "counter") return { gauge: { dataPoints: points(time) } };
  return { sum: { dataPoints: points(since), aggregationTemporality: CUMULATIVE, isMonotonic: true } };
}

const attributesOf = (labels: Labels): Attribute[] =>
  Object.entries(labels).map(([key, stringValue]) => ({ key, value: { stringValue } }));

/** A double holds no 19 digits: milliseconds first, zeros behind them. */
const nanos = (ms: number): string => `${Math.max(0, Math.trunc(ms))}000000`;
