import { type Clock, sleep } from "@/lib/clock.ts";

/** Calls to a wallet that outlive the look that began them. */
interface WalletCalls<T> {
  /** True while an answer to this call has not been fetched. */
  has(name: string): boolean;
  /** Calls whose answer has not been fetched. */
  readonly size: number;
  /**
   * The answer of the call of this name, begun by the first who asks.
   * @param call.onAnswer runs once when an answer comes that nobody was waiting for any more.
   * @returns null when there is none yet: ask again later.
   * @throws what the call throws.
   */
  answer(name: string, call: { begin(): Promise<T>; onAnswer(): void }): Promise<T | null>;
  /** Nobody will ask for it. */
  forget(name: string): void;
}

/**
 * Waits for a wallet no longer than `patienceMs`. A receiver who holds a payment can keep a wallet from answering as
 * long as he likes; whoever waited for that answer would keep its place from all others.
 */
export function createWalletCalls<T>(options: { clock: Clock; patienceMs: number }): WalletCalls<T> {
  const calls = new Map<string, { answer: Promise<T>; left: boolean }>();
  return {
    has: (name) => calls.has(name),
    get size() {
      return calls.size;
    },
    async answer(name, { begin, onAnswer }) {
      let call = calls.get(name);
      if (!call) {
        const begun = { answer: begin(), left: false };
        const ended = () => begun.left && onAnswer();
        begun.answer.then(ended, ended);
        calls.set(name, call = begun);
      }
      const patience = new AbortController();
      const late = sleep(options.clock, options.patienceMs, patience.signal).then(() => null);
      try {
        const first = await Promise.race([call.answer.then((answer) => ({ answer })), late]);
        if (first) calls.delete(name);
        else call.left = true;
        return first && first.answer;
      } catch (error) {
        calls.delete(name);
        throw error;
      } finally {
        patience.abort();
      }
    },
    forget: (name) => void calls.delete(name),
  };
}
