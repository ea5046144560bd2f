/** A text file that only grows: what a line says lies on the disk before anything else happens. */

export interface JournalFile {
  /** Adds a line and waits for the disk. @throws when it could not be written, as on a full disk. */
  append(line: string): Promise<void>;
  /** All lines, oldest first; the last one may be cut short by a crash. */
  lines(): Promise<string[]>;
}

/**
 * Each line begins and ends with a line break, so that one which a crash or a full disk cut short spoils no other. Lines that wait
 * at the same time are written and flushed together.
 */
export function openJournalFile(path: string): JournalFile {
  let waiting: { line: string; done: PromiseWithResolvers<void> }[] = [];
  let writing = false;

  async function write(text: string): Promise<void> {
    using file = await Deno.open(path, { create: true, append: true, mode: 0o600 });
    for (let rest = new TextEncoder().encode(text); rest.length > 0;) rest = rest.subarray(await file.write(rest));
    await file.syncData();
  }

  async function pump(): Promise<void> {
    writing = true;
    while (waiting.length > 0) {
      const some = waiting;
      waiting = [];
      try {
        await write(some.map(({ line }) => `\n${line}\n`).join(""));
        for (const { done } of some) done.resolve();
      } catch (error) {
        for (const { done } of some) done.reject(error);
      }
    }
    writing = false;
  }

  return {
    append(line) {
      const done = Promise.withResolvers<void>();
      waiting.push({ line, done });
      if (!writing) void pump();
      return done.promise;
    },
    async lines() {
      try {
        return (await Deno.readTextFile(path)).split("\n").filter((line) => line !== "");
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      }
    },
  };
}
