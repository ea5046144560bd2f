/**
 * Every field a log line may carry, with its type. Anything else is dropped, whatever the caller passed: pino's own
 * redaction works by path and lets through what nobody thought of, a list of what is allowed cannot.
 *
 * No field here identifies a job, a session, an invoice or a person: ids are capabilities (wire.md §1), so `route` is
 * the pattern ("/api/jobs/:id"), never the path.
 */
const FIELDS = {
  requestId: "string",
  method: "string",
  route: "string",
  status: "number",
  ms: "number",
  /** The code of an answered error, or of an outcome. */
  code: "string",
  error: "error",
  /** The kind of a background task, never its id. */
  task: "string",
  attempt: "number",
  delayMs: "number",
  outcome: "string",
  backend: "string",
  count: "number",
  queued: "number",
  running: "number",
  due: "number",
  oldestDueMs: "number",
  commits: "number",
  rows: "number",
  bytes: "number",
  freeBytes: "number",
  seq: "number",
  differenceSats: "number",
  version: "string",
  signal: "string",
  host: "string",
  port: "number",
  check: "string",
  reason: "string",
  /** Names of what a cloud provider has: public handles, which open nothing. */
  resources: "string",
} as const;

interface FieldTypes {
  string: string;
  number: number;
  error: unknown;
}

/** What a log call may be given: the fields of the allow-list, nothing else compiles. */
export type LogFields = { [K in keyof typeof FIELDS]?: FieldTypes[(typeof FIELDS)[K]] | undefined };

/** Where the program says what it does. Messages are constant texts; what varies stands in the fields. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** The levels a log can be set to; `silent` writes nothing. */
const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The longest text of a line, stacks excepted. */
export const MAX_TEXT = 500;
const MAX_STACK = 4_000;
const MAX_CAUSES = 3;

/**
 * What must not leave the process even inside the text of an unexpected error: a failed fetch, for one, names its URL.
 * A second line of defence behind the allow-list; requestId alone is exempt (it is checked where it comes in).
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-hjkmnp-tv-z]{13}-[0-9a-f]{32}\b/g, "[id]"],
  [/\bln(?:bcrt|bc|tbs|tb)[0-9a-z]{20,}/gi, "[invoice]"],
  [/\b(?:nsec|npub|nprofile|ncryptsec|lnurl)1[0-9a-z]{20,}/gi, "[key]"],
  [/\bsk-[A-Za-z0-9_-]{8,}/g, "[key]"],
  [/\b(?:Bearer|L402|LSAT|Nostr|Basic)\s+[A-Za-z0-9+/_=:.-]{8,}/gi, "[credential]"],
  [/\bAg[A-Za-z0-9+/_-]{60,}={0,2}/g, "[macaroon]"],
  [/[0-9a-f]{32,}/gi, "[hex]"],
  [/(\w:\/\/)[^\s/@]+@/g, "$1[credential]@"],
  [/(\w:\/\/[^\s?#"')]*)\?[^\s"')]*/g, "$1?[query]"],
];

/** `text` cut to `max` characters, and without what would open something. */
export function withoutSecrets(text: string, max: number): string {
  // Cut first: the patterns then run over a bounded text, whatever an error carries.
  let out = text.length > max ? text.slice(0, max) + "…" : text;
  for (const [pattern, replacement] of SECRETS) out = out.replace(pattern, replacement);
  return out;
}

interface LoggedError {
  name: string;
  message: string;
  stack?: string;
  cause?: LoggedError;
}

function loggedError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { name: typeof error, message: withoutSecrets(String(error), MAX_TEXT) };
  const out: LoggedError = {
    name: withoutSecrets(error.name, MAX_TEXT),
    message: withoutSecrets(error.message, MAX_TEXT),
  };
  if (error.stack) out.stack = withoutSecrets(error.stack, MAX_STACK);
  if (error.cause !== undefined && depth < MAX_CAUSES) out.cause = loggedError(error.cause, depth + 1);
  return out;
}

/** The part of `fields` that may be logged: allowed names with the right type, texts cut and cleaned of secrets. */
export function allowedFields(fields: object): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (!Object.hasOwn(FIELDS, name) || value === undefined) continue;
    const type = FIELDS[name as keyof typeof FIELDS];
    if (type === "error") out[name] = loggedError(value);
    else if (type === "number" && typeof value === "number") out[name] = value;
    else if (type === "string" && typeof value === "string") {
      out[name] = name === "requestId" ? value.slice(0, MAX_TEXT) : withoutSecrets(value, MAX_TEXT);
    }
  }
  return out;
}

/** A logger that adds `fields` to every line of `log`; what a call passes itself wins. */
export function withFields(log: Logger, fields: LogFields): Logger {
  return eachLevel((level, own, message) => log[level]({ ...fields, ...own }, message));
}

/** One line of a {@link collectingLogger}. */
interface LoggedLine {
  level: keyof Logger;
  message: string;
  fields: Record<string, unknown>;
}

/** A logger for tests: keeps its lines in `lines`, through the same allow-list as the real one. */
export function collectingLogger(): Logger & { readonly lines: LoggedLine[] } {
  const lines: LoggedLine[] = [];
  const log = eachLevel((level, fields, message) => void lines.push({ level, message, fields: allowedFields(fields) }));
  return { ...log, lines };
}

/** A logger whose four methods call one function. */
export function eachLevel(write: (level: keyof Logger, fields: LogFields, message: string) => void): Logger {
  return {
    debug: (fields, message) => write("debug", fields, message),
    info: (fields, message) => write("info", fields, message),
    warn: (fields, message) => write("warn", fields, message),
    error: (fields, message) => write("error", fields, message),
  };
}
