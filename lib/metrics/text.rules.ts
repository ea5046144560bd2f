/** Collected figures as text: OpenMetrics 1.0, or the older format of Prometheus for who asks for it. Pure. */

/** A label's value: one of a list that is known before anybody asks for anything, or else `other`. */
export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  labels: Labels;
  value: number;
}
interface HistogramSample {
  labels: Labels;
  /** How many lie in each bucket, and beyond the last one. */
  counts: readonly number[];
  sum: number;
}

interface Head {
  /** Without `_total` and `_info`, which are written behind the name of a counter and of an info. */
  name: string;
  help: string;
}
/** One figure as it was found, under each combination of its labels. */
export type Family =
  | Head & { type: "counter" | "gauge" | "info"; samples: readonly Sample[] }
  | Head & { type: "histogram"; bounds: readonly number[]; samples: readonly HistogramSample[] };

/** A name that ends so is counted in this unit. */
const UNITS = ["seconds", "bytes", "sats"] as const;
type Unit = (typeof UNITS)[number];
export const unitOf = (name: string): Unit | undefined => UNITS.find((unit) => name.endsWith(`_${unit}`));

export type Format = "openmetrics" | "prometheus";
export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
};

/** The older format only for who names it and not the newer one: a program that takes anything gets OpenMetrics. */
export const formatFor = (accept: string | undefined): Format =>
  /text\/plain/i.test(accept ?? "") && !/openmetrics/i.test(accept ?? "") ? "prometheus" : "openmetrics";

/** https://prometheus.io/docs/specs/om/open_metrics_spec/ and https://prometheus.io/docs/instrumenting/exposition_formats/ */
export function textOf(families: readonly Family[], format: Format): string {
  const lines = families.flatMap((family) => [...headOf(family, format), ...linesOf(family)]);
  return `${[...lines, ...(format === "openmetrics" ? ["# EOF"] : [])].join("\n")}\n`;
}

function headOf({ name, help, type }: Family, format: Format): string[] {
  if (format === "openmetrics") {
    const unit = unitOf(name);
    return [`# TYPE ${name} ${type}`, ...(unit ? [`# UNIT ${name} ${unit}`] : []), `# HELP ${name} ${escaped(help)}`];
  }
  // Here a family has the very name of its lines, knows no units and no infos, and its help escapes no quotes.
  const written = name + SUFFIX[type];
  const plain = help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
  return [`# HELP ${written} ${plain}`, `# TYPE ${written} ${type === "info" ? "gauge" : type}`];
}

const SUFFIX = { counter: "_total", info: "_info", gauge: "", histogram: "" } as const;

/** The names that a family's lines begin with, as rules and panels ask for them. */
export const sampleNames = ({ name, type }: Pick<Family, "name" | "type">): string[] =>
  type === "histogram" ? ["_bucket", "_sum", "_count"].map((suffix) => name + suffix) : [name + SUFFIX[type]];

function linesOf(family: Family): string[] {
  if (family.type !== "histogram") {
    return family.samples.map(({ labels, value }) => line(family.name + SUFFIX[family.type], labels, value));
  }
  const { name, bounds } = family;
  return family.samples.flatMap(({ labels, counts, sum }) => {
    let below = 0;
    const buckets = counts.map((count, i) => {
      below += count;
      return line(`${name}_bucket`, { ...labels, le: boundText(bounds[i]) }, below);
    });
    return [...buckets, line(`${name}_sum`, labels, sum), line(`${name}_count`, labels, below)];
  });
}

/** A bound is told apart as text: OpenMetrics wants the dot. */
const boundText = (bound: number | undefined): string =>
  bound === undefined ? "+Inf" : Number.isInteger(bound) ? bound.toFixed(1) : String(bound);

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`;
}

const escaped = (text: string) => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/"/g, '\\"');
