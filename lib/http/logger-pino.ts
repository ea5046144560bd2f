import { pino } from "pino";
import { allowedFields, eachLevel, type Logger, type LogLevel, MAX_TEXT, withoutSecrets } from "@/lib/logger.ts";

/**
 * One JSON line per call, by pino, to standard output: `{ "level", "time" (ISO 8601), "msg", …fields }`.
 * Written synchronously: a process that is killed has said what it did before. Needs `--allow-sys=hostname` and
 * `--allow-env=NODE_V8_COVERAGE`, both read by pino when it is loaded.
 *
 * @param options.destination where lines go instead of standard output
 */
export function createLogger(
  options: { level: LogLevel; destination?: { write(line: string): void } },
): Logger {
  const log = pino(
    {
      level: options.level,
      base: null, // no process id, no host name
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
  return eachLevel((level, fields, message) => log[level](allowedFields(fields), withoutSecrets(message, MAX_TEXT)));
}
