export type Severity = "ok" | "warning" | "error";

/** What was looked at. */
export type CheckName =
  | "settings"
  | "version"
  | "wallet"
  | "model"
  | "price"
  | "clock"
  | "disk"
  | "permissions"
  | "port"
  | "origin"
  | "dns"
  | "database"
  | "audit"
  | "backup";

/** One thing that was looked at, and what to do about it. Holds no secret: it is printed, and may be sent to others. */
export interface Finding {
  check: CheckName;
  /** `error`: it does not work, or is dangerous. `warning`: it works, and somebody should know. */
  severity: Severity;
  message: string;
  /** What to do; empty where there is nothing to do. */
  todo: string;
}

export const ok = (check: CheckName, message: string): Finding => ({ check, severity: "ok", message, todo: "" });
export const warning = (check: CheckName, message: string, todo: string): Finding => ({
  check,
  severity: "warning",
  message,
  todo,
});
export const error = (check: CheckName, message: string, todo: string): Finding => ({
  check,
  severity: "error",
  message,
  todo,
});

/** The gravest of them; `ok` of none. */
export function worst(findings: readonly Finding[]): Severity {
  const has = (severity: Severity) => findings.some((finding) => finding.severity === severity);
  return has("error") ? "error" : has("warning") ? "warning" : "ok";
}
