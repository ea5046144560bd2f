import type { Env } from "./env.ts";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { createLnbitsWallet } from "@/lib/lightning/lnbits.ts";
import type { Wallet } from "@/lib/lightning/port.ts";
import { createSimulatedWallet } from "@/lib/lightning/simulated.ts";
import type { Store } from "@/lib/store/store.ts";

/** The file of the simulated wallet's seed in the data folder. */
export const WALLET_SEED = "simulated-wallet.seed";

/** The wallet for reading only: LNbits itself, or the simulated one over a copy of its database. */
export async function openWalletCopy(
  env: Env,
  copy: Store | null,
): Promise<Pick<Wallet, "balanceSats" | "listPayments">> {
  if (env.lightning.kind === "lnbits") return createLnbitsWallet({ ...env.lightning, clock: systemClock });
  if (!copy) throw new Error("the simulated wallet's balance lies in its database");
  const seed = await Deno.readFile(`${env.dataDir}/${WALLET_SEED}`);
  return createSimulatedWallet({ store: copy, seed, clock: systemClock, random: systemRandom });
}
