import type { Services } from "@/lib/services.ts";

/** Which backends are simulated: every answer about what they made says so. */
export const simulatedParts = ({ wallet, model }: Pick<Services, "wallet" | "model">): string[] =>
  [wallet.simulated && "lightning", model.simulated && "model"].filter((name) => name !== false);
