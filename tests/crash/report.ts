import type { Report } from "./run.ts";
import type { ViolationKind } from "./witness.ts";

/** True when nothing was found and every audit passed: the run's exit code. */
export const isClean = (report: Report, kills: number): boolean =>
  report.violations.length === 0 && report.kills === kills && report.audits.length > 0 &&
  report.audits.every(({ ok }) => ok);

/** Of each kind. */
const MOST_VIOLATIONS = 5;

/** The table at the end of a run, and the first of what was wrong. */
export function tableOf(report: Report, kills: number): string {
  const { counts, violations, resumedMs } = report;
  const count = (...kinds: ViolationKind[]) => violations.filter(({ kind }) => kinds.includes(kind)).length;
  const ofSessions = (...kinds: ViolationKind[]) =>
    violations.filter(({ kind, session }) => session && kinds.includes(kind)).length;
  const { sessions, requests, topups, hungUp, repeated } = report.sessions;
  const rows: [string, string | number][] = [
    ["kills survived", `${report.kills} of ${kills} (${report.killsDuringStart} while it started)`],
    ["jobs", listed(report.jobs)],
    ["sessions", `${listed(sessions)}; ${topups} top-ups`],
    ["requests of sessions", `${listed(requests)}; ${hungUp} hung up, ${repeated} repeated with their key`],
    [
      "answers",
      `${counts.answers} (${counts.refusedForNow} times "try again"), ${report.unheard} calls while nobody listened`,
    ],
    ["calls cut off by a kill", Object.entries(report.cut).map(([kind, n]) => `${n} ${kind}`).join(", ")],
    ["payments in, refunds out", `${report.payments}, ${report.payouts}`],
    ["lost", count("lost")],
    ["stuck", count("stuck")],
    ["paid twice", count("paid twice")],
    ["contradicting answers", count("contradiction")],
    [
      "of these about sessions",
      `${ofSessions("lost")} lost, ${ofSessions("stuck")} stuck, ${ofSessions("paid twice")} paid twice, ` +
      `${ofSessions("contradiction")} contradicting, ${ofSessions("books")} off the books`,
    ],
    ["unexpected", count("unexpected")],
    ["ledger = wallet", count("books") === 0 && report.payments > 0 ? "yes" : "no"],
    ["audit", report.audits.map(({ when, ok }) => `${when}: ${ok ? "ok" : "FAILED"}`).join(", ") || "none"],
    [
      "resume, p50 / max",
      `${ms(quantile(resumedMs, 0.5))} / ${ms(quantile(resumedMs, 1))} of ${resumedMs.length} (${count("late")} late)`,
    ],
    ["start, p50 / max", `${ms(quantile(report.startedMs, 0.5))} / ${ms(quantile(report.startedMs, 1))}`],
    ["all at rest after", ms(report.drainedMs)],
    ["seed", report.seed],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  const wrong = [...Map.groupBy(violations, ({ kind }) => kind)].flatMap(([kind, some]) => [
    ...some.slice(0, MOST_VIOLATIONS).map(({ what }) => `${kind}: ${what}`),
    ...(some.length > MOST_VIOLATIONS ? [`${kind}: and ${some.length - MOST_VIOLATIONS} more`] : []),
  ]);
  return [...lines, ...(wrong.length > 0 ? ["", ...wrong] : [])].join("\n");
}

/** How many in all, and of each kind. */
function listed(counts: Record<string, number>): string {
  const all = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const each = Object.entries(counts).sort(([a], [b]) => a < b ? -1 : 1).map(([name, n]) => `${n} ${name}`);
  return `${all}${each.length > 0 ? `: ${each.join(", ")}` : ""}`;
}

/** The value that a `share` (0–1) of the list does not exceed; NaN of an empty list. */
export function quantile(list: readonly number[], share: number): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

const ms = (value: number) => Number.isNaN(value) ? "–" : `${Math.round(value)} ms`;
