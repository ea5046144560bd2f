/**
 * Figures about the instance that anybody may see: counters, gauges and histograms under names and labels that are fixed here, so
 * that no id, key, address, text or amount of a single payer can become a label (docs/operations/monitoring/README.md).
 */

/** A label's value: one of a list that is known before anybody asks for anything, or else `other`. */
type Labels = Readonly<Record<string, string>>;

interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  /** Lines below the family's head, without a final line break. */
  lines(): Promise<string[]> | string[];
}

export interface Counter {
  add(labels: Labels, by?: number): void;
}
export interface Histogram {
  /** @param seconds what took so long */
  observe(labels: Labels, seconds: number): void;
}

export interface Registry {
  /** @param name without `_total`, which is written behind it */
  counter(name: string, help: string): Counter;
  /** A counter that somebody else counts; `read` returns null while it cannot tell. */
  counted(name: string, help: string, read: Reading): void;
  gauge(name: string, help: string, read: Reading): void;
  /** @param bounds upper bounds in rising order (seconds) */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram;
  /** All of it as OpenMetrics 1.0 text (https://prometheus.io/docs/specs/om/open_metrics_spec/). */
  text(): Promise<string>;
}

/** A figure, or one for each value of a label; null for none. */
type Figure = number | readonly { labels: Labels; value: number }[] | null;
type Reading = () => Promise<Figure> | Figure;

/** More series than this under one name would be a label that somebody else chooses: the rest is counted as one. */
const MAX_SERIES = 500;
const OVERFLOW: Labels = { overflow: "true" };

export const CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

export function createRegistry(): Registry {
  const families = new Map<string, Family>();
  const add = (family: Family) => {
    if (!/^timmy_[a-z0-9_]+$|^process_[a-z0-9_]+$/.test(family.name) || families.has(family.name)) {
      throw new Error(`a metric cannot be named ${family.name}`);
    }
    families.set(family.name, family);
  };
  return {
    counter(name, help) {
      const series = createSeries(() => ({ value: 0 }));
      add({
        name,
        help,
        type: "counter",
        lines: () => series.all().map(([labels, { value }]) => line(`${name}_total`, labels, value)),
      });
      return { add: (labels, by = 1) => void (series.of(labels).value += by) };
    },
    counted(name, help, read) {
      add({ name, help, type: "counter", lines: async () => linesOf(`${name}_total`, await read()) });
    },
    gauge(name, help, read) {
      add({ name, help, type: "gauge", lines: async () => linesOf(name, await read()) });
    },
    histogram(name, help, bounds) {
      const series = createSeries(() => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 }));
      const lines = () =>
        series.all().flatMap(([labels, { counts, sum }]) => {
          let below = 0;
          const buckets = counts.map((count, i) => {
            below += count;
            const le = i === bounds.length ? "+Inf" : String(bounds[i]);
            return line(`${name}_bucket`, { ...labels, le }, below);
          });
          return [...buckets, line(`${name}_sum`, labels, sum), line(`${name}_count`, labels, below)];
        });
      add({ name, help, type: "histogram", lines });
      return {
        observe(labels, seconds) {
          const one = series.of(labels);
          const found = bounds.findIndex((bound) => seconds <= bound);
          const place = found < 0 ? bounds.length : found;
          one.counts[place] = (one.counts[place] ?? 0) + 1;
          one.sum += seconds;
        },
      };
    },
    async text() {
      const parts = await Promise.all(
        [...families.values()].map(async ({ name, help, type, lines }) =>
          [`# TYPE ${name} ${type}`, `# HELP ${name} ${escaped(help)}`, ...await lines()].join("\n")
        ),
      );
      return `${parts.join("\n")}\n# EOF\n`;
    },
  };
}

/** What is counted under each combination of labels. */
function createSeries<T>(make: () => T): { of(labels: Labels): T; all(): [Labels, T][] } {
  const series = new Map<string, { labels: Labels; value: T }>();
  const of = (labels: Labels): T => {
    const key = JSON.stringify(labels);
    const known = series.get(key);
    if (known) return known.value;
    if (series.size >= MAX_SERIES && labels !== OVERFLOW) return of(OVERFLOW);
    const value = make();
    series.set(key, { labels, value });
    return value;
  };
  return { of, all: () => [...series.values()].map(({ labels, value }) => [labels, value]) };
}

function linesOf(name: string, figure: Figure): string[] {
  if (figure === null) return [];
  if (typeof figure === "number") return [line(name, {}, figure)];
  return figure.map(({ labels, value }) => line(name, labels, value));
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`;
}

const escaped = (text: string) => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/"/g, '\\"');
