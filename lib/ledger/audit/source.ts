import type { Key, Reader, Store, Versioned } from "@/lib/store/store.ts";
import type { AuditSource } from "./book.ts";

/** The rows of a store that nobody writes to meanwhile. */
export function sourceOf(store: Reader & Pick<Store, "list">): AuditSource {
  return {
    async *rows<T extends Versioned>(prefix: Key) {
      let after: Key | undefined;
      do {
        const page = await store.list<T>(prefix, { limit: 500, ...(after && { after }) });
        yield* page;
        after = page.length === 500 ? page[page.length - 1]?.key : undefined;
      } while (after);
    },
    row: (key) => store.get(key),
  };
}
