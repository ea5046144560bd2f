/** What every benchmark here needs: medians, numbers for people, temporary folders, and a way to print. */

export interface Bench {
  /** For `--only`. */
  name: string;
  /** What is measured, in a line. */
  title: string;
  run(context: BenchContext): Promise<void>;
}

export interface BenchContext {
  /** Stored jobs in the larger of two stores (`--jobs`). */
  jobs: number;
  /** One figure: what it is, how much, and what else the reader should know. */
  figure(what: string, value: string, note?: string): void;
  /** A folder on the disk that `TMPDIR` names, removed after the benchmark. */
  tempDir(): Promise<string>;
}

/** The value below which a share `p` (0…1) of the values lie: the nearest rank. @throws when there is none. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(p * sorted.length));
  const value = sorted[rank - 1];
  if (value === undefined) throw new Error("nothing was measured");
  return value;
}

/** The middle value; of an even number of values the mean of the two in the middle. @throws when there is none. */
export function median(values: readonly number[]): number {
  const lower = percentile(values, 0.5);
  if (values.length % 2 === 1) return lower;
  return (lower + [...values].sort((a, b) => a - b)[values.length / 2]!) / 2;
}

/** Three significant digits, or whole and with separators from 100 on. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

export const perSecond = (value: number): string => `${number(value)} /s`;
export const ms = (value: number): string => `${number(value)} ms`;

/** Compares a figure with what it should be; the benchmark goes on whatever it says. */
export const aim = (met: boolean, text: string): string => `aim ${text}: ${met ? "met" : "MISSED"}`;

/** Milliseconds that `fn` takes. */
export async function timed(fn: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await fn();
  return performance.now() - from;
}

/** Runs `fn` `total` times, `atOnce` at a time. @returns the milliseconds it took. */
export function timedCalls(total: number, atOnce: number, fn: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const worker = async () => {
    while (next < total) await fn(next++);
  };
  return timed(() => Promise.all(Array.from({ length: atOnce }, worker)));
}
