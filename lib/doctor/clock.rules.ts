import type { Finding } from "./finding.ts";

/** Signatures and invoices are judged to the minute (ms). */
const WRONG_MS = 60_000;
const SLOW_MS = 5_000;
/** No clock that is set shows less than when this was written: 2026-01-01T00:00:00Z (ms since the epoch). */
const EARLIEST_MS = 1_767_225_600_000;

const SET_THE_CLOCK =
  "set the clock: `timedatectl set-ntp true`; a machine without a battery clock, as a Pi, needs it before each start";

/**
 * Whether our clock can be trusted.
 * @param skews how far it is ahead of each server's that told its own (ms)
 */
export function clockFinding(nowMs: number, skews: readonly number[]): Finding {
  const finding = (severity: Finding["severity"], message: string): Finding => ({
    check: "clock",
    severity,
    message,
    todo: severity === "ok" ? "" : SET_THE_CLOCK,
  });
  if (nowMs < EARLIEST_MS) return finding("error", "the clock of this machine shows a time before 2026");
  // The server that agrees best: one of them may itself be wrong.
  const skew = [...skews].sort((a, b) => Math.abs(a) - Math.abs(b))[0];
  if (skew === undefined) return finding("ok", "nobody was there to compare the clock with");
  const seconds = `${Math.round(Math.abs(skew) / 1_000)} s ${skew > 0 ? "ahead of" : "behind"} the servers asked`;
  if (Math.abs(skew) > WRONG_MS) return finding("error", `the clock is ${seconds}`);
  if (Math.abs(skew) > SLOW_MS) return finding("warning", `the clock is ${seconds}`);
  return finding("ok", "the clock agrees with the servers asked");
}
