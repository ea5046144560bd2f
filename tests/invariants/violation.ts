/** A rule did not hold. */
export class Violation extends Error {
  override name = "Violation";
  constructor(readonly rule: string, readonly detail: string) {
    super(`${rule}: ${detail}`);
  }
}

/** @throws {Violation} unless it holds. */
export const must = (holds: boolean, rule: string, detail: string): void => {
  if (!holds) throw new Violation(rule, detail);
};
