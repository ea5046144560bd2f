/** The right to a call at the provider: so many at once and no more. Whoever waits for time to pass holds none. */
export type Places = <T>(signal: AbortSignal, call: () => Promise<T>) => Promise<T>;

/** @param count how many calls may be under way. Whoever comes first is first. */
export function createPlaces(count: number): Places {
  let free = count;
  const waiting: (() => void)[] = [];
  return async (signal, call) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      signal.throwIfAborted(); // the process stops: nothing more is begun
      return await call();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
