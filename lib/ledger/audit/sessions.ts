/**
 * The book of sessions (economy.md §6): every request is there to the satoshi in the ledger, in its session, and under each
 * narrowing of the token it came with.
 */
import type { Versioned } from "@/lib/store/store.ts";
import { refundAccount, reservedAccount, sessionAccount } from "@/lib/ledger/accounts.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { Session } from "@/lib/sessions/sessions.machine.ts";
import type { Book, Ledger } from "./book.ts";
import type { Refunds } from "./refunds.ts";

/** @returns how many sessions wait for their deposit. */
export async function auditSessions(
  book: Book,
  { sessionOf }: Pick<Refunds, "sessionOf">,
): Promise<{ waiting: number }> {
  const { bySession, byAllowance } = await auditRequests(book);
  const { waiting } = await auditSessionRows(book, bySession, sessionOf);
  await auditAllowances(book, byAllowance);
  return { waiting };
}

/** The count that `MAX_OPEN_CHALLENGES` is held against is that of the jobs, sessions and bootstraps that wait. */
export async function auditChallenges(
  book: Book,
  { jobs, sessions, bootstraps }: { jobs: number; sessions: number; bootstraps: number },
): Promise<void> {
  const counted = (await book.source.row<{ v: 1; count: number }>(["open_challenges"]))?.count ?? 0;
  book.check(
    "what awaits its first payment is counted",
    counted === jobs + sessions + bootstraps
      ? null
      : `open_challenges counts ${counted}, ${jobs} jobs, ${sessions} sessions and ${bootstraps} bootstraps await payment`,
    `${jobs} jobs, ${sessions} sessions, ${bootstraps} bootstraps`,
  );
}

/** What the requests of one session, or under one narrowing of a token, hold and were charged. */
interface Drawn {
  running: number;
  reservedSats: number;
  spentSats: number;
}
type DrawnBy = Map<string, Drawn>;
const NOTHING_DRAWN: Drawn = { running: 0, reservedSats: 0, spentSats: 0 };

function draw(by: DrawnBy, name: string, { state, reservedSats, chargeSats }: SessionRequest): void {
  const before = by.get(name) ?? NOTHING_DRAWN;
  by.set(
    name,
    state === "running"
      ? { ...before, running: before.running + 1, reservedSats: before.reservedSats + reservedSats }
      : { ...before, spentSats: before.spentSats + chargeSats },
  );
}

// ---- requests --------------------------------------------------------------------------------------------------------

async function auditRequests({ source, ledger, check }: Book): Promise<{ bySession: DrawnBy; byAllowance: DrawnBy }> {
  const bySession: DrawnBy = new Map();
  const byAllowance: DrawnBy = new Map();
  const stray = new Set(ledger.reservations.keys());
  const strayChats = new Set(ledger.chatCharges.keys());
  let requests = 0;
  let wrongReservation: string | null = null;
  let wrongCharge: string | null = null;
  for await (const { value: request } of source.rows<SessionRequest>(["session_request"])) {
    requests++;
    stray.delete(request.id);
    draw(bySession, request.session, request);
    for (const name of request.allowances) draw(byAllowance, name, request);
    wrongReservation ??= wrongInReservation(request, ledger);
    strayChats.delete(request.id);
    wrongCharge ??= request.mode === "chat" ? wrongInChat(request, ledger) : wrongInCharge(request, ledger);
  }
  for (const id of strayChats) wrongCharge ??= `a charge of ${id} belongs to no chat`;
  for (const id of stray) wrongReservation ??= `account ${reservedAccount(id)} belongs to no request`;
  check("every reservation is that of a running request", wrongReservation, `${requests} requests`);
  check("every request was charged from its reservation and the rest released", wrongCharge, `${requests} requests`);
  return { bySession, byAllowance };
}

function wrongInReservation({ id, state, reservedSats, grantedSats }: SessionRequest, ledger: Ledger): string | null {
  const account = reservedAccount(id);
  const held = ledger.balance(account);
  const expected = state === "running" ? reservedSats + grantedSats : 0;
  return held === expected
    ? null
    : `account ${account} of a request that is ${state} holds ${held} sats, not ${expected}`;
}

/** A chat sets nothing aside in the ledger: its charge leaves the session's balance, and of the pool it takes what it uses. */
function wrongInChat({ id, session, state, chargeSats, subsidySats }: SessionRequest, ledger: Ledger): string | null {
  if (state === "running") return `the chat ${id} is written down although it runs`;
  const entry = ledger.chatCharges.get(id);
  const account = sessionAccount(session);
  if ((entry?.sats ?? 0) !== chargeSats || (entry && entry.from !== account)) {
    return `account ${account}: a chat of ${chargeSats} sats is booked with ${entry?.sats ?? 0} from ${entry?.from}`;
  }
  const { granted = 0, subsidyUsed = 0, reserved = 0 } = ledger.reservations.get(id) ?? {};
  if (reserved === 0 && granted === subsidySats && subsidyUsed === subsidySats) return null;
  return `account ${reservedAccount(id)} of a chat took in ${reserved} sats and ${granted} of the pool, ` +
    `and gave ${subsidyUsed}, not ${subsidySats}`;
}

function wrongInCharge(request: SessionRequest, ledger: Ledger): string | null {
  const { id, session, state, reservedSats, grantedSats, chargeSats, subsidySats } = request;
  const account = reservedAccount(id);
  if (chargeSats < 0 || chargeSats > reservedSats) {
    return `account ${account} held ${reservedSats} sats, its request was charged ${chargeSats}`;
  }
  if (subsidySats < 0 || subsidySats > grantedSats) {
    return `account ${account} was granted ${grantedSats} sats, its request absorbed ${subsidySats}`;
  }
  const booked = ledger.reservations.get(id);
  if (!booked) {
    return reservedSats + grantedSats === 0 ? null : `account ${account} took in 0 sats, not ${reservedSats}`;
  }
  if (booked.reserved !== reservedSats || booked.granted !== grantedSats) {
    return `account ${account} took in ${booked.reserved} sats and ${booked.granted} of the pool, ` +
      `its request held ${reservedSats} and was granted ${grantedSats}`;
  }
  if (booked.session !== null && booked.session !== sessionAccount(session)) {
    return `account ${account} of ${sessionAccount(session)} took from or gave back to ${booked.session}`;
  }
  const over = state !== "running";
  const expected = over
    ? [chargeSats, subsidySats, reservedSats - chargeSats, grantedSats - subsidySats]
    : [0, 0, 0, 0];
  const found = [booked.charged, booked.subsidyUsed, booked.released, booked.returned];
  if (found.every((sats, i) => sats === expected[i])) return null;
  return `account ${account} of a request that is ${state} gave as charge, subsidy, released and returned ` +
    `${found.join(", ")} sats, not ${expected.join(", ")}`;
}

// ---- sessions --------------------------------------------------------------------------------------------------------

async function auditSessionRows(
  { source, ledger, check }: Book,
  bySession: DrawnBy,
  sessionOf: Refunds["sessionOf"],
): Promise<{ waiting: number }> {
  const strayRequests = new Set(bySession.keys());
  const strayRefunds = new Set(sessionOf.keys());
  let sessions = 0;
  let waiting = 0;
  let wrongRunning: string | null = null;
  let wrongSpent: string | null = null;
  let wrongEnded: string | null = null;
  let wrongRefund: string | null = null;
  for await (const { value: session } of source.rows<Session>(["session"])) {
    const { handle, state, running, reservedSats, spentSats, refundIds } = session;
    const account = sessionAccount(handle);
    const drawn = bySession.get(handle) ?? NOTHING_DRAWN;
    strayRequests.delete(handle);
    sessions++;
    if (state === "awaiting_payment") waiting++;
    if (running !== drawn.running || reservedSats !== drawn.reservedSats) {
      wrongRunning ??= `account ${account} counts ${running} running requests that hold ${reservedSats} sats, ` +
        `not ${drawn.running} that hold ${drawn.reservedSats}`;
    }
    if (spentSats !== drawn.spentSats) {
      wrongSpent ??= `account ${account} counts ${spentSats} sats spent, its requests were charged ${drawn.spentSats}`;
    }
    const left = ledger.balance(account);
    if (state !== "active" && state !== "paused" && left !== 0) {
      wrongEnded ??= `account ${account} of a session that is ${state} holds ${left} sats, not 0`;
    }
    for (const id of refundIds) {
      if (sessionOf.get(id) !== handle) wrongRefund ??= `account ${account} names a refund ${id} that is not its own`;
      strayRefunds.delete(id);
    }
  }
  for (const handle of strayRequests) wrongRunning ??= `account ${sessionAccount(handle)} has requests and no session`;
  for (const id of strayRefunds) wrongRefund ??= `account ${refundAccount(id)} is of no session that names it`;
  check("every session holds what its running requests may cost", wrongRunning, `${sessions} sessions`);
  check("every session spent what its requests were debited", wrongSpent, `${sessions} sessions`);
  check("every session that is not open is empty", wrongEnded, `${sessions} sessions`);
  check("every refund of a session is named by it", wrongRefund, `${sessionOf.size} refunds`);
  return { waiting };
}

// ---- narrowed tokens -------------------------------------------------------------------------------------------------

async function auditAllowances({ source, check }: Book, byAllowance: DrawnBy): Promise<void> {
  const uncounted = new Set(byAllowance.keys());
  let allowances = 0;
  let wrong: string | null = null;
  for await (const { key, value } of source.rows<Drawn & Versioned>(["allowance"])) {
    const name = String(key[1]);
    const drawn = byAllowance.get(name) ?? NOTHING_DRAWN;
    uncounted.delete(name);
    allowances++;
    if (value.reservedSats !== drawn.reservedSats || value.spentSats !== drawn.spentSats) {
      wrong ??= `allowance ${name} counts ${value.reservedSats} sats held and ${value.spentSats} spent, ` +
        `its requests hold ${drawn.reservedSats} and were charged ${drawn.spentSats}`;
    }
  }
  for (const name of uncounted) wrong ??= `allowance ${name} has requests and no count`;
  check("every narrowed token counts what was drawn under it", wrong, `${allowances} narrowed tokens`);
}
