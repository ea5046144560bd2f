/** One letter in so many may be wrong. */
const LETTERS_PER_FAULT = 3;

/** The name that was probably meant: the one with the fewest letters to change, add or leave out; null when none is near. */
export function nearestName(written: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Infinity;
  for (const name of known) {
    const most = Math.floor(Math.max(name.length, written.length) / LETTERS_PER_FAULT);
    if (Math.abs(name.length - written.length) > most) continue;
    const faults = distance(written.toLowerCase(), name.toLowerCase());
    if (faults <= most && faults < fewest) [best, fewest] = [name, faults];
  }
  return best;
}

/** Levenshtein's distance: single letters changed, added or left out. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
