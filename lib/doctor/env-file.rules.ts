/**
 * A file of settings, one `NAME=value` a line, in the part of the syntax that a shell, systemd's EnvironmentFile and Deno's
 * --env-file read alike: plain, or in quotes without escapes.
 */

const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/;
/** Needs no quotes anywhere. */
const PLAIN = /^[\w./:@%+,=-]*$/;

/** A value as it stands behind the `=`; null for one that the three readers would not read alike. */
export function quoted(value: string): string | null {
  if (PLAIN.test(value)) return value;
  return /['\n\r\\]/.test(value) ? null : `'${value}'`;
}

/** The settings of a file, and the numbers of lines that are none. */
export function parseEnvFile(text: string): { values: Record<string, string>; wrong: number[] } {
  const values: Record<string, string> = {};
  const wrong: number[] = [];
  text.split(/\r?\n/).forEach((line, i) => {
    if (/^\s*(#|$)/.test(line)) return;
    const [, name, rest = ""] = LINE.exec(line) ?? [];
    const value = name === undefined ? null : unquoted(rest);
    if (name === undefined || value === null) wrong.push(i + 1);
    else values[name] = value;
  });
  return { values, wrong };
}

function unquoted(rest: string): string | null {
  const [, , inside, plain] = /^\s*(?:(['"])(.*?)\1\s*(?:#.*)?|([^'"]*?)(?:\s+#.*|\s*))$/.exec(rest) ?? [];
  return inside ?? plain?.trim() ?? null;
}

/** One setting that is written: null takes it out. `comment` stands above it where it is new. */
export interface Setting {
  name: string;
  value: string | null;
  comment: string;
}

/**
 * The text of a file with these settings in it. Every other line stays as it is.
 * @throws {RangeError} for a value that cannot be kept in such a file
 */
export function withSettings(text: string, settings: readonly Setting[]): string {
  const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n");
  for (const { name, value, comment } of settings) {
    const own = (line: string) => LINE.exec(line)?.[1] === name;
    const written = value === null ? null : quoted(value);
    if (value !== null && written === null) throw new RangeError(`${name} holds ', \\ or a line break`);
    const at = lines.findIndex(own);
    // Of a name that stands twice the last one counts: only one may be left.
    for (let i = lines.length - 1; i >= 0; i--) {
      if (own(lines[i] ?? "") && (i !== at || written === null)) lines.splice(i, 1);
    }
    if (written === null) continue;
    if (at >= 0) lines[at] = `${name}=${written}`;
    else lines.push(`# ${comment}`, `${name}=${written}`);
  }
  return lines.map((line) => `${line}\n`).join("");
}
