/** Whether a row that was read holds what its table's records have: what is damaged or of another version is told by name. */
import type { Key } from "./engine.ts";

/**
 * A stored row that is not what its table holds: damaged, or written by another version. Nothing is lost: it stays as it is until
 * somebody mends it. The message names table and fault and no key, since keys of some tables open what they name.
 */
export class UnreadableRow extends Error {
  override name = "UnreadableRow";
  /** @param key where the row lies: the audit names it. */
  constructor(readonly key: Key, readonly fault: string, options?: ErrorOptions) {
    super(`a row of the table ${String(key[0])} cannot be read: ${fault}`, options);
  }
}

/** What a field must be. `count`: a whole number of at least 0, as of sats; `whole`: any whole number; with "?" it may be null. */
type Kind = "text" | "flag" | "count" | "whole" | "list" | "text?" | "whole?";
/** A kind, the texts it may be, or the fields of an object; under "?" those of one that may be null. */
type Field = Kind | readonly string[] | Fields;
interface Fields {
  readonly [name: string]: Field | undefined;
}

/** Fields without which a record cannot be worked with. Others may be missing: rows outlive the program that wrote them. */
export type Shape<T> = { readonly [K in Exclude<keyof T, "v">]?: Field };

/** Records that were checked: a row in memory is one frozen object, and is looked at once. */
const checked = new WeakSet<object>();

/** The row as it is, null when there is none. @throws {UnreadableRow} when it is not of version 1 and this shape. */
export function readable<T extends object>(shape: Shape<T>, key: Key, row: T | null): T | null {
  if (row === null || checked.has(row)) return row;
  const { v } = row as { v?: unknown };
  if (v !== 1) throw new UnreadableRow(key, `it is of version ${JSON.stringify(v)}, and this program reads version 1`);
  const fault = faultOf(row as Record<string, unknown>, shape as Fields);
  if (fault !== null) throw new UnreadableRow(key, `its field ${fault} is missing or not what it should be`);
  if (Object.isFrozen(row)) checked.add(row);
  return row;
}

/** The first field that is wrong, as a dotted path; null when none is. */
function faultOf(record: Record<string, unknown>, fields: Fields): string | null {
  for (const [name, field] of Object.entries(fields)) {
    const value = record[name];
    if (field === undefined) continue;
    if (typeof field === "string" || Array.isArray(field)) {
      if (!fits(value, field as Kind | readonly string[])) return name;
      continue;
    }
    const optional = (field as Fields)["?"];
    if (optional && value === null) continue;
    if (typeof value !== "object" || value === null) return name;
    const inner = faultOf(value as Record<string, unknown>, (optional ?? field) as Fields);
    if (inner !== null) return `${name}.${inner}`;
  }
  return null;
}

function fits(value: unknown, kind: Kind | readonly string[]): boolean {
  if (typeof kind !== "string") return kind.includes(value as string);
  if (kind.endsWith("?") && value === null) return true;
  switch (kind) {
    case "text":
    case "text?":
      return typeof value === "string";
    case "flag":
      return typeof value === "boolean";
    case "count":
      return Number.isSafeInteger(value) && (value as number) >= 0;
    case "whole":
    case "whole?":
      return Number.isSafeInteger(value);
    case "list":
      return Array.isArray(value);
  }
}
