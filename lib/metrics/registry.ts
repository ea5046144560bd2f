/**
 * Figures about the instance that anybody may see: counters, gauges and histograms under names and labels that are fixed here, so
 * that no id, key, address, text or amount of a single payer can become a label (docs/operations/monitoring/README.md).
 */
import { type Clock, withDeadline } from "@/lib/clock.ts";
import { type Family, type Format, type Labels, type Sample, textOf } from "./text.rules.ts";

export interface Counter<L extends string = never> {
  add(labels: Readonly<Record<L, string>>, by?: number): void;
}
export interface Histogram<L extends string = never> {
  /** @param seconds what took so long */
  observe(labels: Readonly<Record<L, string>>, seconds: number): void;
}

interface CounterOptions<L extends string> {
  /** Those that are told as 0 before they happen: else a monitoring system would not see the first one come. */
  zeros?: readonly Readonly<Record<L, string>>[];
  /** Told in whole steps only, where a single request's share must not be seen. */
  step?: number;
}

/** A figure, or one for each value of a label; null for none. */
type Figure = number | readonly Sample[] | null;
type Reading = () => Promise<Figure> | Figure;

export interface Registry {
  /** @param name without `_total`, which is written behind it @param labels their names: all there are */
  counter<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    options?: CounterOptions<L>,
  ): Counter<L>;
  /** A counter that somebody else counts; `read` returns null while it cannot tell. */
  counted(name: string, help: string, read: Reading, options?: { step?: number }): void;
  gauge(name: string, help: string, read: Reading): void;
  /** What does not change while the program runs. @param name without `_info` */
  info(name: string, help: string, labels: Labels): void;
  /** @param bounds upper bounds in rising order (seconds) */
  histogram<L extends string = never>(
    name: string,
    help: string,
    bounds: readonly number[],
    labels?: readonly L[],
  ): Histogram<L>;
  /** `look` for several figures: it is done once a collection. */
  once<T>(look: () => Promise<T>): () => Promise<T>;
  /**
   * All figures. However often it is called, they are collected at most once a second, and never twice at a time. What cannot be
   * read, or takes too long, is left out and counted; the others are there.
   */
  collect(): Promise<readonly Family[]>;
  /** The same as text. */
  text(format: Format): Promise<string>;
}

/** More series than this under one name would be a label that somebody else chooses: the rest is counted as one. */
const MAX_SERIES = 1_000;
/** How long a collection is good (ms). */
const KEPT_MS = 1_000;
/** How long one figure may take (ms); a monitoring system waits for ten seconds. */
const READING_MS = 2_000;

interface Source {
  type: Family["type"];
  read(): Promise<Family> | Family;
  /** A reading that has begun and not ended. */
  pending?: Promise<Family> | undefined;
}
interface Collection {
  at: number;
  families: readonly Family[];
  texts: Map<Format, string>;
}

export function createRegistry(clock: Clock): Registry {
  const sources = new Map<string, Source>();
  let round = 0;
  let running: Promise<Collection> | null = null;
  let kept: Collection | null = null;

  function add(name: string, source: Source) {
    const isOurs = /^(timmy|process)_[a-z0-9_]+$/.test(name) && !/_(total|info|bucket|count|sum|created)$/.test(name);
    if (!isOurs || sources.has(name)) throw new Error(`a metric cannot be named ${name}`);
    sources.set(name, source);
  }
  function read(type: "counter" | "gauge", name: string, help: string, reading: Reading, step = 1) {
    const stepped = (samples: readonly Sample[]) =>
      step === 1 ? samples : samples.map(({ labels, value }) => ({ labels, value: floorTo(value, step) }));
    add(name, { type, read: async () => ({ name, help, type, samples: stepped(samplesOf(await reading())) }) });
  }

  const unread = createSeries(["metric"], () => ({ value: 0 }));
  const UNREAD = {
    name: "timmy_metrics_unread",
    help: "Figures that could not be read for a collection, by their name",
    type: "counter" as const,
  };
  add(UNREAD.name, { type: "counter", read: () => ({ ...UNREAD, samples: flat(unread) }) });

  async function family([name, source]: [string, Source]): Promise<Family[]> {
    try {
      // One that hangs is waited for again and not asked again: else each collection would leave another one behind.
      source.pending ??= Promise.resolve(source.read()).finally(() => source.pending = undefined);
      return [await withDeadline(clock, READING_MS, "reading a figure", source.pending)];
    } catch {
      unread.of({ metric: name }).value++;
      return [];
    }
  }
  async function collectNow(): Promise<Collection> {
    round++;
    const [own, ...others] = [...sources];
    const read = await Promise.all(others.map(family));
    const families = [...read.flat(), ...own ? await family(own) : []]; // last: it counts those that failed before it
    return { at: clock.monotonic(), families, texts: new Map() };
  }
  async function collection(): Promise<Collection> {
    if (kept && clock.monotonic() - kept.at < KEPT_MS) return kept;
    running ??= collectNow().finally(() => running = null);
    return kept = await running;
  }

  return {
    counter(name, help, labels = [], { zeros = [], step = 1 } = {}) {
      const series = createSeries(labels, () => ({ value: 0 }));
      for (const zero of zeros) series.of(zero);
      read("counter", name, help, () => flat(series), step);
      return { add: (labels, by = 1) => void (series.of(labels).value += by) };
    },
    counted: (name, help, reading, { step = 1 } = {}) => read("counter", name, help, reading, step),
    gauge: (name, help, reading) => read("gauge", name, help, reading),
    info(name, help, labels) {
      add(name, { type: "info", read: () => ({ name, help, type: "info", samples: [{ labels, value: 1 }] }) });
    },
    histogram(name, help, bounds, labels = []) {
      const series = createSeries(labels, () => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 }));
      const samples = () => series.all().map(([labels, { counts, sum }]) => ({ labels, counts: [...counts], sum }));
      add(name, { type: "histogram", read: () => ({ name, help, type: "histogram", bounds, samples: samples() }) });
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
    once<T>(look: () => Promise<T>) {
      let last: { round: number; seen: Promise<T> } | null = null;
      return () => {
        if (last?.round !== round) last = { round, seen: look() };
        return last.seen;
      };
    },
    collect: async () => (await collection()).families,
    async text(format) {
      const { families, texts } = await collection();
      const text = texts.get(format) ?? textOf(families, format);
      texts.set(format, text);
      return text;
    },
  };
}

interface Series<L extends string, T> {
  of(labels: Readonly<Record<L, string>>): T;
  all(): [Labels, T][];
}

/** What is counted under each combination of these labels, and of no others. */
function createSeries<L extends string, T>(names: readonly L[], make: () => T): Series<L, T> {
  const series = new Map<string, { labels: Labels; value: T }>();
  const place = (value: (name: L) => string, isRest: boolean): T => {
    const labels = Object.fromEntries(names.map((name) => [name, value(name)]));
    const key = JSON.stringify(Object.values(labels));
    const known = series.get(key);
    if (known) return known.value;
    if (series.size >= MAX_SERIES && !isRest) return place(() => "other", true);
    const made = make();
    series.set(key, { labels, value: made });
    return made;
  };
  return {
    of: (labels) => place((name) => labels[name], false),
    all: () => [...series.values()].map(({ labels, value }) => [labels, value]),
  };
}

const flat = (series: Series<never, { value: number }>): Sample[] =>
  series.all().map(([labels, { value }]) => ({ labels, value }));

const floorTo = (value: number, step: number) => Math.floor(value / step) * step;

/** What is no number cannot be told. @throws {TypeError} */
function samplesOf(figure: Figure): readonly Sample[] {
  const samples = figure === null ? [] : typeof figure === "number" ? [{ labels: {}, value: figure }] : figure;
  if (samples.some(({ value }) => !Number.isFinite(value))) throw new TypeError("a figure must be a finite number");
  return samples;
}
