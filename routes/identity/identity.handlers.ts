import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { ApiError, unauthorized } from "@/lib/http/errors.ts";
import { checkChallenge, newChallenge, useOnce } from "@/lib/identity/identity.ts";
import type { Key, Store, Versioned } from "@/lib/store/store.ts";
import { readable } from "@/lib/store/readable.ts";
import { readSignIn, type SignInFault } from "@/lib/nostr/sign-in.ts";
import { dailyBudget, dayEnd } from "@/lib/free-tier/free-tier.rules.ts";
import { balanceOf, type Counters, NO_COUNTERS } from "@/lib/ledger/ledger.rules.ts";
import type { Session } from "@/lib/sessions/sessions.machine.ts";
import { newTrust, scoreAt, tierOf, type Trust } from "@/lib/identity/trust.rules.ts";
import { identityJobs, jobKey } from "@/lib/jobs/job-index.rows.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { JOB } from "@/lib/jobs/jobs.rows.ts";
import { COUNTERS } from "@/lib/ledger/ledger.rows.ts";
import { openAdvice, usedToday } from "@/lib/free-tier/pool.rows.ts";
import {
  balanceKey,
  chatsKey,
  type Drawn,
  identitySessions,
  SESSION,
  sessionKey,
} from "@/lib/sessions/sessions.rows.ts";
import type { Bootstrap } from "@/lib/bootstrap/bootstrap.machine.ts";
import { BOOTSTRAP, bootstrapKey, identityBootstraps } from "@/lib/bootstrap/bootstrap.rows.ts";
import { getTrust } from "@/lib/identity/trust.rows.ts";
import { requireIdentity } from "@/middlewares/identity.ts";
import type {
  ChallengeRoute,
  ListBootstrapsRoute,
  ListJobsRoute,
  ListSessionsRoute,
  MeRoute,
  VerifyRoute,
} from "./identity.routes.ts";

const PAGE = 20;
const iso = (ms: number) => new Date(ms).toISOString();

export const challenge: AppRouteHandler<ChallengeRoute, AppDeps> = (c) => {
  const { nonce, expiresAt } = newChallenge(challengeDeps(c.get("deps")), c.get("deps").clock.now());
  return c.json({ nonce, expiresAt: iso(expiresAt) }, 200);
};

/**
 * What costs nothing first, the signature next, and last the one commit that uses the nonce up: what is refused writes
 * nothing, and somebody else's bad answer spends nobody's nonce.
 */
export const verify: AppRouteHandler<VerifyRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { store, clock, identityTokens } = deps;
  const now = clock.now();
  const signIn = readSignIn({ ...c.req.valid("json"), publicOrigin: deps.settings.publicOrigin, now });
  if (!signIn.ok) {
    const { code, message: publicMessage } = signIn;
    throw new ApiError({ status: SIGN_IN_STATUS[code], code, publicMessage });
  }
  const { pubkey, nonce } = signIn;
  const known = checkChallenge(challengeDeps(deps), nonce, now);
  if (!known.ok) throw NOT_OURS[known.reason]();
  const trust = await store.transact(async (tx) => {
    const [fresh, trust] = await Promise.all([
      useOnce(tx, "challenge", nonce, known.expiresAt),
      getTrust(tx, pubkey),
    ]);
    return fresh ? trust ?? newTrust(now) : null;
  });
  if (!trust) {
    throw unauthorized("challenge_used", "This nonce was used before. Ask for a new challenge and sign that.");
  }
  const { token, expiresAt } = identityTokens.issue(pubkey, now);
  return c.json({ pubkey, nostr_token: token, expiresAt: iso(expiresAt), trust: trustBody(deps, trust, now) }, 200);
};

/** 400: the request contradicts itself or has no such form, and stays wrong. 401: well formed, but it proves nothing here and now. */
const SIGN_IN_STATUS: Record<SignInFault, 400 | 401> = {
  pubkey_malformed: 400,
  event_malformed: 400,
  pubkey_mismatch: 400,
  event_kind: 400,
  challenge_missing: 400,
  challenge_mismatch: 400,
  event_time: 401,
  event_origin: 401,
  event_id: 401,
  event_signature: 401,
};

const NOT_OURS = {
  unknown: () =>
    unauthorized(
      "challenge_unknown",
      "This nonce was not given out here. Ask this server for a challenge: POST /api/identity/challenge.",
    ),
  expired: () =>
    unauthorized("challenge_expired", "This nonce has expired: it is good for five minutes. Ask for a new challenge."),
};

const challengeDeps = ({ random, signInSecret, settings: { publicOrigin } }: AppDeps) => ({
  random,
  signInSecret,
  publicOrigin,
});

export const me: AppRouteHandler<MeRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const pubkey = await requireIdentity(c);
  const now = deps.clock.now();
  const [row, usedSats, offeredSats] = await Promise.all([
    getTrust(deps.store, pubkey),
    usedToday(deps.store, pubkey, now),
    openAdvice(deps.store, pubkey),
  ]);
  const trust = trustBody(deps, row ?? newTrust(now), now);
  const dailySats = dailyBudget(trust.tier, deps.settings.freeTier.config);
  const budget = { dailySats, usedSats, ...(offeredSats > 0 && { offeredSats }), resetsAt: iso(dayEnd(now)) };
  return c.json({ pubkey, trust, budget }, 200);
};

/** A key that was never served stands where every key begins: {@link newTrust}. */
function trustBody({ settings }: AppDeps, trust: Trust, now: number) {
  const config = settings.freeTier.trust;
  const score = scoreAt(trust, config, now);
  return { tier: tierOf(score, config), score, interactionCount: trust.interactions };
}

export const listJobs: AppRouteHandler<ListJobsRoute, AppDeps> = async (c) => {
  const { store, recordIds } = c.get("deps");
  const pubkey = await requireIdentity(c);
  const { handles, next } = await pageOf(store, identityJobs(pubkey), c.req.valid("query"));
  const rows = await rowsOf(store, handles.map(jobKey)) as (Job | null)[];
  rows.forEach((job, i) => readable(JOB, jobKey(handles[i]!), job));
  const jobs = rows.filter((job) => job !== null).map(({ handle, state, createdAt }) => ({
    jobId: recordIds.idOf("job", handle),
    state,
    createdAt: iso(createdAt),
  }));
  return c.json({ jobs, ...(next !== undefined && { next }) }, 200);
};

export const listBootstraps: AppRouteHandler<ListBootstrapsRoute, AppDeps> = async (c) => {
  const { store, recordIds } = c.get("deps");
  const pubkey = await requireIdentity(c);
  const { handles, next } = await pageOf(store, identityBootstraps(pubkey), c.req.valid("query"));
  const rows = await rowsOf(store, handles.map(bootstrapKey)) as (Bootstrap | null)[];
  rows.forEach((row, i) => readable(BOOTSTRAP, bootstrapKey(handles[i]!), row));
  const bootstraps = rows.filter((row) => row !== null).map(({ handle, state, createdAt }) => ({
    bootstrapJobId: recordIds.idOf("bootstrap", handle),
    state,
    createdAt: iso(createdAt),
  }));
  return c.json({ bootstraps, ...(next !== undefined && { next }) }, 200);
};

export const listSessions: AppRouteHandler<ListSessionsRoute, AppDeps> = async (c) => {
  const { store, recordIds } = c.get("deps");
  const pubkey = await requireIdentity(c);
  const { handles, next } = await pageOf(store, identitySessions(pubkey), c.req.valid("query"));
  // State and balance of one moment: a session that is shown as closed has nothing left to spend.
  const pairs = await Promise.all(handles.map(async (handle) => {
    const keys = [sessionKey(handle), balanceKey(handle), chatsKey(handle)] as const;
    const [session, account, chats] = await store.getMany(keys) as [Session | null, Counters | null, Drawn | null];
    return [readable(SESSION, keys[0], session), readable(COUNTERS, keys[1], account), chats] as const;
  }));
  const sessions = pairs.flatMap(([session, account, chats]) => {
    if (!session) return [];
    const { handle, state, createdAt } = session;
    return [{
      sessionId: recordIds.idOf("session", handle),
      state,
      createdAt: iso(createdAt),
      balanceSats: balanceOf(account ?? NO_COUNTERS) - (chats?.reservedSats ?? 0),
    }];
  });
  return c.json({ sessions, ...(next !== undefined && { next }) }, 200);
};

/**
 * One page of an index whose keys end with time and handle, newest first.
 * @returns `next`: the place of the page's last row, when there are more. A page may be shorter than `limit` once rows that
 *   are gone are left out; only without `next` it is the last.
 */
async function pageOf(
  store: Store,
  prefix: Key,
  query: { limit?: string | undefined; after?: string | undefined },
): Promise<{ handles: string[]; next?: string }> {
  const limit = query.limit === undefined ? PAGE : Number(query.limit);
  const [at, handle] = query.after?.split("-") ?? [];
  const found = await store.keys(prefix, {
    limit: limit + 1,
    reverse: true,
    ...(at !== undefined && handle !== undefined && { after: [...prefix, Number(at), handle] }),
  });
  const page = found.slice(0, limit).map((key) => key.slice(prefix.length));
  const last = page.at(-1);
  return {
    handles: page.map(([, handle]) => String(handle)),
    ...(last && found.length > limit && { next: last.join("-") }),
  };
}

/** Rows that one read of the store takes. */
const ROWS_AT_ONCE = 10;

async function rowsOf(store: Store, keys: readonly Key[]): Promise<(Versioned | null)[]> {
  const reads: Promise<(Versioned | null)[]>[] = [];
  for (let i = 0; i < keys.length; i += ROWS_AT_ONCE) reads.push(store.getMany(keys.slice(i, i + ROWS_AT_ONCE)));
  return (await Promise.all(reads)).flat();
}
