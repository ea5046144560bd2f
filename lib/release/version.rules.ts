/** Order of versions (Semantic Versioning 2.0.0, §11). */

const VERSION = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$/;

/** True of a version that can be compared: three numbers, and perhaps what comes before a release. Build metadata has no order. */
export const isVersion = (text: string): boolean =>
  VERSION.test(text) && !(VERSION.exec(text)?.[4] ?? "").split(".").some((part) => /^0\d+$/.test(part));

/** Below 0 when `a` is older, 0 when they are the same, above 0 when it is newer. @throws when one of them is no version */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)];
  for (const i of [0, 1, 2] as const) {
    const difference = compareNumbers(left.numbers[i], right.numbers[i]);
    if (difference !== 0) return difference;
  }
  // A release is newer than all that came before it.
  if (left.before.length === 0 || right.before.length === 0) return right.before.length - left.before.length;
  for (let i = 0; i < Math.max(left.before.length, right.before.length); i++) {
    const [x, y] = [left.before[i], right.before[i]];
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    const difference = compareParts(x, y);
    if (difference !== 0) return difference;
  }
  return 0;
}

function partsOf(text: string): { numbers: [string, string, string]; before: string[] } {
  if (!isVersion(text)) throw new Error(`not a version: ${JSON.stringify(text.slice(0, 80))}`);
  const [, major = "", minor = "", patch = "", before] = VERSION.exec(text)!;
  return { numbers: [major, minor, patch], before: before?.split(".") ?? [] };
}

/** Whole numbers of any length, without leading zeros. */
const compareNumbers = (a: string, b: string): number =>
  a.length !== b.length ? a.length - b.length : a < b ? -1 : a > b ? 1 : 0;

function compareParts(a: string, b: string): number {
  const [numberA, numberB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (numberA && numberB) return compareNumbers(a, b);
  if (numberA !== numberB) return numberA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
