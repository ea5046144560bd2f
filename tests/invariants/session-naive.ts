/** Controls: sessions with one mistake that is often made. Each loses or doubles sats, or an answer, where a rule must see it. */
import type { Key, Store, Tx, Versioned } from "@/lib/store/store.ts";
import { createSessionRequests, type SessionRequests } from "@/lib/sessions/requests.ts";
import { balanceKey } from "@/lib/sessions/sessions.rows.ts";
import { createBackground } from "@/queue.ts";
import { changedStore, dropsFailed, moneyInASecondCommit, type Naive, over, writes } from "./naive.ts";

/** The real background work whose requests begin in a store of their own. */
const beginningIn = (storeOf: (store: Store, session: string) => Promise<Store> | Store): Naive => (services) => {
  const real = createBackground(services, { exclusive: true });
  const begin: SessionRequests["begin"] = async (token, ask, about) => {
    const store = await storeOf(services.store, token.session);
    return await createSessionRequests({ ...services, store }).begin(token, ask, about);
  };
  return { ...real, sessionRequests: { ...real.sessionRequests, begin } };
};

/** Looks whether the balance would do and sets nothing aside: everybody who asks at once is answered from the same sats. */
const reservesNothing: Naive = beginningIn((store) =>
  changedStore(store, (tx) => {
    const without = (write: Tx["set"]): Tx["set"] => (key, value) =>
      key[0] === "entry" || key[0] === "account" ? undefined : write(key, value);
    return { ...tx, set: without(tx.set), insert: without(tx.insert) };
  })
);

/** Reads the balance, decides, and writes what it makes of it afterwards: of two at once, one is lost. */
export const losesUpdates: Naive = beginningIn(async (store, session) => {
  const stale = String(balanceKey(session));
  const before = await store.get(balanceKey(session));
  return changedStore(store, (tx) => {
    let own: Versioned | null = before;
    const get = <T extends Versioned>(key: Key) =>
      String(key) === stale ? Promise.resolve(own as T | null) : tx.get<T>(key);
    const set: Tx["set"] = (key, value) => {
      if (String(key) === stale) own = value;
      tx.set(key, value);
    };
    return { ...tx, get, set };
  });
});

/** The answer is only for whoever waits for it: nothing keeps it. */
const forgetsAnswers: Naive = over(writes("session_result", () => null));

/** Nothing keeps what an Idempotency-Key began: a repeat is another request, charged again. */
const forgetsKeys: Naive = over(writes("idempotency", () => null));

/** Each with the rules of which one must be the first to break. */
export const NAIVE_SESSIONS: readonly { name: string; background: Naive; breaks: readonly string[] }[] = [
  {
    name: "a request that is begun without a reservation",
    background: reservesNothing,
    breaks: ["every reservation is that of a running request"],
  },
  {
    name: "a reservation and a charge whose sats come in a second commit",
    background: moneyInASecondCommit,
    breaks: [
      "every reservation is that of a running request",
      "every request was charged from its reservation and the rest released",
      "a request is answered",
      "a request comes to its end",
      "an answered chat says what it cost",
    ],
  },
  {
    name: "a balance that is read before and written after",
    background: losesUpdates,
    breaks: ["all balances add up to zero", "every counter equals its entries"],
  },
  {
    name: "a failed request that keeps its reservation",
    background: dropsFailed("session-request"),
    breaks: ["a running request has its task, and no other has"],
  },
  {
    name: "an Idempotency-Key that nothing keeps",
    background: forgetsKeys,
    breaks: ["the same key is the same request"],
  },
  {
    name: "an answer that nothing keeps",
    background: forgetsAnswers,
    breaks: ["an answer that was charged is kept", "an answer that was charged can be fetched"],
  },
];
