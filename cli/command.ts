import { parseArgs } from "node:util";

/** What a command of timmyctl is: one file in this folder each, named in `names.ts` and listed in `timmyctl.ts`. */
export interface Command {
  /** Behind the name: `FOLDER|FILE…`; empty when there is none. */
  usage: string;
  /** What `help` says beside the one line of `names.ts`: plain text, lines of at most 100 letters. */
  help: string;
  /** @returns the exit code, one of {@link EXIT} */
  run(args: readonly string[], io: Io): Promise<number>;
}

/** Where a command writes. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
}

export const EXIT = {
  /** Done; what was checked is good. */
  ok: 0,
  /** Refused, or it could not be done. The reason is on stderr. */
  refused: 1,
  /** The command was not understood; nothing was done. */
  usage: 2,
} as const;

/** The same with flags that have a value behind them. @returns null for one that is not known, or has none */
export function optionsOf<F extends string, V extends string>(
  args: readonly string[],
  flags: readonly F[],
  valued: readonly V[],
): { flags: Set<F>; values: Map<V, string>; rest: string[] } | null {
  const values = new Map<V, string>();
  const others: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const name = valued.find((it) => it === args[i]);
    const value = args[i + 1];
    if (name === undefined) others.push(args[i]!);
    else if (value === undefined || values.has(name)) return null;
    else values.set(name, args[++i]!);
  }
  const given = flagsOf(others, flags);
  return given && { ...given, values };
}

/** Splits flags from names. @returns null for a flag that is not one of `known` */
export function flagsOf<F extends string>(
  args: readonly string[],
  known: readonly F[],
): { flags: Set<F>; rest: string[] } | null {
  const flags = new Set<F>();
  const rest: string[] = [];
  for (const arg of args) {
    const flag = known.find((it) => it === arg);
    if (flag) flags.add(flag);
    else if (arg.startsWith("-") && arg !== "-") return null;
    else rest.push(arg);
  }
  return { flags, rest };
}

type Kinds = Readonly<Record<string, "text" | "flag">>;
type Given<K extends Kinds> = { [N in keyof K]?: K[N] extends "flag" ? boolean : string };

/** Options by name, of a command that takes nothing else. @returns null for what it does not know, or a text left out */
export function argumentsOf<K extends Kinds>(args: readonly string[], kinds: K): Given<K> | null {
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) =>
      [name, { type: kind === "flag" ? "boolean" as const : "string" as const }] as const
    ),
  );
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Given<K>;
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
