/** One HTTP call to LNbits, with its limits; what an answer means stands in `lnbits-answers.ts`. */
import type { Clock } from "@/lib/clock.ts";
import {
  type Answer,
  causeOf,
  detailOf,
  messageOf,
  parse,
  readBody,
  redact,
  Refusal,
  Unanswered,
} from "./lnbits-answers.ts";
import { WalletError } from "./port.ts";

export interface LnbitsCalls {
  /** @throws {Unanswered} for anything but a complete answer that is neither too long nor a redirect. */
  call(
    key: string,
    method: "GET" | "POST",
    path: string,
    limitMs: number,
    body?: Record<string, unknown>,
    maxBytes?: number,
  ): Promise<Answer>;
  /** The same with the invoice key. @throws {WalletError} for anything but 2xx and `more.alsoFine`. */
  ask(
    method: "GET" | "POST",
    path: string,
    body?: Record<string, unknown>,
    more?: { alsoFine?: number; maxBytes?: number },
  ): Promise<Answer>;
  /** A text from LNbits without keys, invoices, hashes and addresses. */
  safe(text: string): string;
}

export function createLnbitsCalls(options: {
  base: string;
  invoiceKey: string;
  adminKey: string | undefined;
  clock: Clock;
  fetchFrom: typeof fetch;
  requestMs: number;
}): LnbitsCalls {
  const { base, invoiceKey, adminKey, clock, fetchFrom, requestMs } = options;
  const safe = (text: string) => redact(text, [invoiceKey, adminKey]);

  const call: LnbitsCalls["call"] = async (key, method, path, limitMs, body, maxBytes) => {
    const abort = new AbortController();
    let late = false;
    const cancel = clock.after(limitMs, () => {
      late = true;
      abort.abort();
    });
    try {
      const response = await fetchFrom(`${base}/api/v1${path}`, {
        method,
        headers: {
          "X-Api-Key": key,
          accept: "application/json",
          ...(body ? { "content-type": "application/json" } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        redirect: "manual",
        signal: abort.signal,
      });
      const text = await readBody(response, abort, maxBytes);
      if (response.status >= 300 && response.status < 400) {
        throw new Unanswered("LNbits redirects elsewhere: check LNBITS_URL, and that its first set-up is done");
      }
      return { status: response.status, body: parse(text) };
    } catch (error) {
      if (error instanceof Unanswered) throw error;
      if (late) throw new Unanswered(`LNbits did not answer within ${limitMs} ms`);
      throw new Unanswered(`LNbits could not be reached: ${safe(causeOf(error))}`);
    } finally {
      cancel();
    }
  };

  const ask: LnbitsCalls["ask"] = async (method, path, body, { alsoFine, maxBytes } = {}) => {
    let answer: Answer;
    try {
      answer = await call(invoiceKey, method, path, requestMs, body, maxBytes);
    } catch (error) {
      throw new WalletError(messageOf(error), true);
    }
    const { status } = answer;
    if ((status >= 200 && status < 300) || status === alsoFine) return answer;
    const refusal = Refusal.safeParse(answer.body);
    // LNbits' own 520 with "failed" is a verdict about this request; "pending", 429 and 5xx may be better next time.
    const verdict = status === 520
      ? refusal.data?.status === "failed"
      : status < 500 && status !== 429 && status !== 408;
    throw new WalletError(`LNbits answered ${status}: ${safe(detailOf(answer))}`, !verdict);
  };

  return { call, ask, safe };
}
