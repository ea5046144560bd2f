/** What goes wrong in the simulated wallet when a test says so. */
import { type Clock, DeadlineExceeded } from "@/lib/clock.ts";
import { WalletError } from "./port.ts";

/**
 * Something that goes wrong, or is slow, in one call.
 * - `refuse`: the wallet says no and nothing happened (`pay`: `failed`).
 * - `lose`: the call never arrives: nothing happened, and the caller does not know (`pay`: `unknown`).
 * - `drop`: it happens, but the answer is lost: the caller does not know.
 * - `delay`: it happens after `ms` of the wallet's clock, or once `until` resolves.
 */
export type Fault =
  | { kind: "refuse" | "lose" | "drop" }
  | { kind: "delay"; ms: number }
  | { kind: "delay"; until: Promise<void> };

/**
 * For outgoing payments also: `fail` (tried, and failed for good), `hold` (in flight until `releasePayment`), `lie` (in flight
 * as well, and called failed until then).
 */
export type PayFault = Fault | { kind: "fail" } | { kind: "hold" } | { kind: "lie" };

/** A fault for every call while it is set, or a function asked at each call. */
type FaultPlan<F> = F | (() => F | undefined);

/** Set and cleared by a test at any time; `{}` is a wallet that works. */
export interface SimulatedFaults {
  createInvoice?: FaultPlan<Fault> | undefined;
  lookupInvoice?: FaultPlan<Fault> | undefined;
  balanceSats?: FaultPlan<Fault> | undefined;
  lookupPayment?: FaultPlan<Fault> | undefined;
  listPayments?: FaultPlan<Fault> | undefined;
  pay?: FaultPlan<PayFault> | undefined;
  /** `hold`: a payment that arrives makes the invoice `held` until `releaseInvoice`. */
  settle?: FaultPlan<{ kind: "hold" }> | undefined;
  /** `lose`: the hint never comes. `twice`: it comes again. */
  hints?: FaultPlan<{ kind: "lose" | "twice" }> | undefined;
}

/** Marks a `lose` or `drop` on its way to the caller. */
class AnswerLost extends Error {}
/** Marks a `refuse`. */
export class Refused extends Error {}

/** Runs one call of the port under the fault planned for it. */
export async function under<T>(clock: Clock, fault: Fault | undefined, effect: () => Promise<T>): Promise<T> {
  if (fault?.kind === "refuse") throw new Refused("the simulated wallet refuses");
  if (fault?.kind === "lose") throw new AnswerLost("the simulated wallet was not reached");
  if (fault?.kind === "delay") {
    await ("until" in fault ? fault.until : new Promise<void>((resolve) => void clock.after(fault.ms, resolve)));
  }
  const result = await effect();
  if (fault?.kind === "drop") throw new AnswerLost("the simulated wallet's answer was lost");
  return result;
}

/** The same for methods that throw {@link WalletError}. */
export async function answering<T>(clock: Clock, fault: Fault | undefined, effect: () => Promise<T>): Promise<T> {
  try {
    return await under(clock, fault, effect);
  } catch (error) {
    if (error instanceof WalletError) throw error;
    if (error instanceof Refused) throw new WalletError(error.message, false);
    throw new WalletError(
      error instanceof AnswerLost ? error.message : "the simulated wallet's store did not answer",
      true,
      { cause: error },
    );
  }
}

export function planned<F>(plan: FaultPlan<F> | undefined): F | undefined {
  return typeof plan === "function" ? (plan as () => F | undefined)() : plan;
}

export function payPlan(
  fault: PayFault | undefined,
): { outcome: "pending" | "paid" | "failed"; calledFailed?: true; inTheWay?: Fault } {
  if (!fault) return { outcome: "paid" };
  if (fault.kind === "fail") return { outcome: "failed" };
  if (fault.kind === "hold") return { outcome: "pending" };
  if (fault.kind === "lie") return { outcome: "pending", calledFailed: true };
  return { outcome: "paid", inTheWay: fault };
}

export function reasonOf(error: unknown): string {
  if (error instanceof DeadlineExceeded) return `the wallet did not answer within ${error.ms} ms`;
  return error instanceof AnswerLost ? error.message : "the simulated wallet's store did not answer";
}
