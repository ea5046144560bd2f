/** Controls: sessions as they are often written. Each loses or doubles sats, or an answer, where a rule must see it. */
import { plan } from "@/lib/tasks/due.ts";
import type { Services } from "@/lib/services.ts";
import { newOrderedId, sha256Hex } from "@/lib/ids.ts";
import type { Key, Store, Tx, Versioned } from "@/lib/store/store.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import { actualSats, endRequest, type RequestQuote, type SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { isOpen, requestBegan, requestEnded } from "@/lib/sessions/sessions.machine.ts";
import { createSessionRequests, type SessionRequests } from "@/lib/sessions/requests.ts";
import { REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { charge, nonZero } from "@/lib/ledger/postings.ts";
import { balanceKey, getSession, putRequest, putResult, putSession, spendable } from "@/lib/sessions/sessions.rows.ts";
import { createBackground } from "@/queue.ts";
import { type Naive, withTasks } from "./naive.ts";

/** The real background work with other requests. */
const withRequests = (services: Services, requests: SessionRequests): ReturnType<Naive> => ({
  ...createBackground(services, { exclusive: true }),
  sessionRequests: requests,
});

/** The same store whose transactions see and write as `change` says. */
const changedStore = (store: Store, change: (fn: (tx: Tx) => unknown) => Promise<unknown>): Store =>
  new Proxy(store, {
    get(target, name) {
      if (name === "transact") return change;
      const member = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });

/**
 * Looks whether the balance would do, answers, and charges afterwards what is there: everybody who asks at once is
 * answered from the same sats.
 */
export const chargesAfter: Naive = (services) => {
  const { store, model, clock, random, settings } = services;
  const real = createSessionRequests(services);
  const begin: SessionRequests["begin"] = async (token, ask) => {
    if (ask.mode !== "request") throw new Error("the harness asks no chats");
    const now = clock.now();
    const quote: RequestQuote = {
      inputTokens: 60,
      outputTokens: 200,
      maxOutputTokens: 800,
      rates: await services.ratesFor(settings.workModel),
      evaluation: null,
      config: settings.price,
      btc: services.btcPrice.current(),
    };
    const session = await getSession(store, token.session);
    if (!session || !isOpen(session, now)) return { outcome: "ended", session };
    const balanceSats = await spendable(store, token.session);
    const usage = { inputTokens: 60, outputTokens: 64, source: "estimated" as const };
    const priceSats = actualSats(quote, { state: "complete", usage, evalUsage: null, finish: "stop" });
    if (balanceSats < priceSats) {
      return { outcome: "short", paused: false, balanceSats, priceSats, minimumBalanceSats: 50 };
    }
    const work = await model.work({
      model: settings.workModel,
      request: ask.text,
      maxOutputTokens: 64,
      signal: new AbortController().signal,
      deadlineMs: settings.modelDeadlineMs,
    });
    return await store.transact(async (tx) => {
      const fresh: SessionRequest = {
        ...blank(quote, now),
        id: newOrderedId(random, now),
        session: token.session,
        requestHash: sha256Hex(ask.text),
        token: token.name,
        reservedSats: Math.min(priceSats, await spendable(tx, token.session)),
      };
      const current = await getSession(tx, token.session) ?? session;
      const end = { state: "complete", usage: work.usage, evalUsage: null, finish: work.finish } as const;
      const step = endRequest(fresh, end, 0, now);
      if (!step) throw new Error("a new request cannot have ended");
      const { chargeSats } = step.request;
      await post(tx, nonZero([charge(fresh.id, sessionAccount(token.session), REVENUE.session, chargeSats)]), now);
      const left = await spendable(tx, token.session);
      const request = { ...step.request, reservedSats: 0, balanceSats: left };
      const ended = { reservedSats: 0, chargeSats: chargeSats, balanceSats: left, succeeded: true, now };
      await putSession(tx, requestEnded(requestBegan(current, 0), { ...ended, terms: settings.sessions }), current);
      putRequest(tx, request);
      putResult(tx, request.id, work.text);
      return { outcome: "begun", request };
    });
  };
  return withRequests(services, { ...real, begin });
};

const blank = (quote: RequestQuote, now: number): Omit<SessionRequest, "id" | "session" | "requestHash" | "token"> => ({
  v: 1,
  mode: "request",
  state: "running",
  at: now,
  endedAt: null,
  model: "work",
  evalModel: null,
  text: null,
  quote,
  reservedSats: 0,
  pubkey: null,
  grantedSats: 0,
  adviceSats: 0,
  freeTier: null,
  allowances: [],
  evalUsage: null,
  usage: null,
  actualSats: 0,
  chargeSats: 0,
  subsidySats: 0,
  balanceSats: null,
  finish: null,
  reason: null,
  errorMessage: null,
  causedByRequest: false,
});

/** A request's state is written in one commit, its sats in the next: for the reservation and for the charge. */
export const reserveInASecondCommit: Naive = (services) => {
  const { store, clock } = services;
  const apart = changedStore(store, async (fn) => {
    let entries: Entry[] = [];
    const result = await store.transact((tx) => {
      entries = [];
      return fn(withoutMoney(tx, (entry) => entries.push(entry)));
    });
    for (const entry of entries) await store.transact((tx) => post(tx, [entry], clock.now()));
    return result;
  });
  const naive = createSessionRequests({ ...services, store: apart });
  return withTasks(services, (spec) => spec.kind === naive.task.kind ? naive.task : spec, { sessionRequests: naive });
};

const withoutMoney = (tx: Tx, seen: (entry: Entry) => void): Tx => ({
  ...tx,
  set: <T extends Versioned>(key: Key, value: T) => {
    if (key[0] === "entry") return seen(value as unknown as Entry);
    if (key[0] !== "account") tx.set(key, value);
  },
});

/** Reads the balance, decides, and writes what it makes of it afterwards: of two at once, one is lost. */
export const losesUpdates: Naive = (services) => {
  const { store } = services;
  const real = createBackground(services, { exclusive: true });
  return {
    ...real,
    sessionRequests: {
      ...real.sessionRequests,
      async begin(token, ask, about) {
        const key = balanceKey(token.session);
        const before = await store.get(key);
        const stale = changedStore(store, (fn) =>
          store.transact((tx) => {
            let own: Versioned | null = before;
            return fn({
              ...tx,
              get: <T extends Versioned>(asked: Key) =>
                String(asked) === String(key) ? Promise.resolve(own as T | null) : tx.get<T>(asked),
              set: (asked, value) => {
                if (String(asked) === String(key)) own = value;
                tx.set(asked, value);
              },
            });
          }));
        return await createSessionRequests({ ...services, store: stale }).begin(token, ask, about);
      },
    },
  };
};

/** A request that failed for good is dropped from the queue: its reservation stays for ever. */
export const keepsReservations: Naive = (services) =>
  withTasks(services, (spec) => {
    if (spec.kind !== "session-request") return spec;
    return {
      ...spec,
      giveUp: async ({ kind, id }) => void await services.store.transact((tx) => plan(tx, { kind, id, dueAt: null })),
    };
  });

/** The answer is only for whoever waits for it: nothing keeps it. */
export const forgetsAnswers: Naive = (services) => {
  const { store } = services;
  const forgetful = changedStore(
    store,
    (fn) =>
      store.transact((tx) =>
        fn({ ...tx, set: (key, value) => key[0] === "session_result" ? undefined : tx.set(key, value) })
      ),
  );
  const naive = createSessionRequests({ ...services, store: forgetful });
  return withTasks(services, (spec) => spec.kind === naive.task.kind ? naive.task : spec, { sessionRequests: naive });
};

/** Each with the rules of which one must be the first to break. */
export const NAIVE_SESSIONS: readonly { name: string; background: Naive; breaks: readonly string[] }[] = [
  {
    name: "a request that is answered first and charged afterwards, without a reservation",
    background: chargesAfter,
    breaks: ["every request was charged from its reservation and the rest released"],
  },
  {
    name: "a reservation and a charge whose sats come in a second commit",
    background: reserveInASecondCommit,
    breaks: [
      "every reservation is that of a running request",
      "every request was charged from its reservation and the rest released",
      "a request is answered",
      "a request comes to its end",
    ],
  },
  {
    name: "a balance that is read before and written after",
    background: losesUpdates,
    breaks: ["all balances add up to zero", "every counter equals its entries"],
  },
  {
    name: "a failed request that keeps its reservation",
    background: keepsReservations,
    breaks: ["a running request has its task, and no other has"],
  },
  {
    name: "an answer that nothing keeps",
    background: forgetsAnswers,
    breaks: ["an answer that was charged is kept", "an answer that was charged can be fetched"],
  },
];
