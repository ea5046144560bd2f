/** What goes wrong in the simulated cloud and tailnet when a test says so. */
import { type Clock, sleep } from "@/lib/clock.ts";
import { CloudError } from "./port.ts";

/**
 * Something that goes wrong, or is slow, in one call.
 * - `refuse`: the provider says no, for good. `fail`: it says "not now"; nothing happened either.
 * - `cut`: the call never arrives. `lose`: it happens, but the answer is lost. The caller cannot tell these two apart.
 * - `slow`: it happens after `ms` of the clock. `twice`: the call is delivered twice.
 * - `errored`: a machine is ordered, and the provider gives up on making it (other calls: nothing goes wrong).
 */
export type SimulatedFault =
  | { kind: "refuse" | "cut" | "lose" | "twice" | "errored" }
  | { kind: "fail"; retryAfterMs?: number }
  | { kind: "slow"; ms: number };

/** A fault for every call while it is set, or a function asked at each call. */
export type FaultPlan = SimulatedFault | (() => SimulatedFault | undefined);

export const planned = (plan: FaultPlan | undefined): SimulatedFault | undefined =>
  typeof plan === "function" ? plan() : plan;

/** Runs one call under the fault planned for it. @throws {CloudError} */
export async function under<T>(clock: Clock, fault: SimulatedFault | undefined, effect: () => Promise<T>): Promise<T> {
  if (fault?.kind === "refuse") throw new CloudError("the simulated provider refuses", false);
  if (fault?.kind === "fail") throw new CloudError("the simulated provider is busy", true, fault.retryAfterMs ?? null);
  if (fault?.kind === "cut") throw new CloudError("the simulated provider was not reached", true);
  if (fault?.kind === "slow") await sleep(clock, fault.ms);
  if (fault?.kind === "twice") await effect();
  const result = await effect();
  if (fault?.kind === "lose") throw new CloudError("the simulated provider's answer was lost", true);
  return result;
}
