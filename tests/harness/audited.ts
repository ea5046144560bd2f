import { createFakeWorld, type FakeWorld } from "./fake-world.ts";
import { assertAudit } from "./payer.ts";
import type { WorldOptions } from "./world.ts";

type Options = Omit<WorldOptions, "clock" | "random">;

/** Registers tests in a world whose time only they move; what each leaves is audited. @param prefix of their names */
export const auditedTests =
  (prefix: string) => (name: string, fn: (fake: FakeWorld) => Promise<void>, options: Options = {}): void =>
    Deno.test(prefix + name, async () => {
      const fake = await createFakeWorld(1, options);
      try {
        await fn(fake);
        await fake.clock.settle();
        await assertAudit(fake.world);
      } finally {
        fake.discard();
      }
    });
