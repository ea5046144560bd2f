import type { Clock } from "@/lib/clock.ts";
import type { PaymentState, Wallet } from "./port.ts";

/** While the last word is a failure, readiness lets the wallet be asked again, no more often than this (ms). */
const ASK_AGAIN_MS = 5_000;

interface HeardWallet {
  wallet: Wallet;
  /** Why the last call that received, or the last one that paid, got no usable answer; null when both did. */
  lastError(): string | null;
}

/**
 * A wallet that remembers how its last calls ended, whoever made them. Receiving and paying are remembered apart: they use
 * other keys and other parts of a backend, and one that works says nothing of the other. A refused payment is an answer.
 * When the push channel is cut, and while the last word is a failure, the balance is asked: it costs nothing, and otherwise a
 * wallet that nobody calls would seem well, or ill, for ever.
 */
export function rememberLastWord(wallet: Wallet, clock: Clock): HeardWallet {
  let receiving: string | null = null;
  let paying: string | null = null;
  let asking = false;
  let askedAt = -Infinity;

  async function heard<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      receiving = null;
      return answer;
    } catch (error) {
      receiving = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  async function heardPayment(call: () => Promise<PaymentState>): Promise<PaymentState> {
    const state = await call();
    paying = state.state === "unknown" && !state.absent ? state.reason : null;
    return state;
  }

  function askBalance(): void {
    if (asking) return;
    [asking, askedAt] = [true, clock.now()];
    heard(() => wallet.balanceSats()).catch(() => {}).finally(() => asking = false); // its failure is remembered
  }

  return {
    wallet: {
      name: wallet.name,
      simulated: wallet.simulated,
      get prefix() {
        return wallet.prefix;
      },
      createInvoice: (input) => heard(() => wallet.createInvoice(input)),
      lookupInvoice: (paymentHash) => heard(() => wallet.lookupInvoice(paymentHash)),
      balanceSats: () => heard(() => wallet.balanceSats()),
      listPayments: (sinceMs) => heard(() => wallet.listPayments(sinceMs)),
      pay: (input) => heardPayment(() => wallet.pay(input)),
      lookupPayment: (paymentHash) => heardPayment(() => wallet.lookupPayment(paymentHash)),
      watch: (onHint, signal, onState) =>
        wallet.watch(onHint, signal, (connected) => {
          onState?.(connected);
          if (!signal.aborted && (!connected || receiving !== null)) askBalance();
        }),
    },
    lastError() {
      const word = receiving ?? paying;
      if (receiving !== null && clock.now() - askedAt >= ASK_AGAIN_MS) askBalance();
      return word;
    },
  };
}
