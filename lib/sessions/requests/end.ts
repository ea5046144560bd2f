/** How a request of a session ends, in the caller's transaction: charged, the rest the session's again, and announced. */
import { reservedAccount, sessionAccount } from "@/lib/ledger/accounts.ts";
import { balance, post } from "@/lib/ledger/ledger.rows.ts";
import { nonZero, reservationReleased } from "@/lib/ledger/postings.ts";
import { close } from "@/lib/metering/metering.ts";
import type { Ran } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { earnedFrom, requestBooks } from "../payer.ts";
import { endedRequest, type SessionRequest } from "../requests.machine.ts";
import { requestEnded } from "../sessions.machine.ts";
import {
  chatsOf,
  countChat,
  countUnder,
  getSession,
  putRequest,
  putResult,
  putSession,
  requestKey,
} from "../sessions.rows.ts";

/** Ends a request that runs. @param now ms since the epoch @returns it as it has ended */
export async function endIn(
  tx: Tx,
  settings: Services["settings"],
  running: SessionRequest,
  { outcome, text }: Ran,
  now: number,
): Promise<SessionRequest> {
  const session = await getSession(tx, running.session);
  if (!session) throw new Error("a request belongs to no session");
  const { id, reservedSats, allowances, mode } = running;
  const chat = mode === "chat";
  const account = chat ? sessionAccount(session.handle) : reservedAccount(id);
  const payer = { earned: (sats: number, evaluationOnly: boolean) => [earnedFrom(account, id, sats, evaluationOnly)] };
  const metered = { ...running, paidSats: reservedSats };
  const books = requestBooks(id, chat ? "process" : "crash");
  const { costSheet, grantedSats } = await close(tx, settings, payer, metered, { outcome, books, now });
  if (chat) {
    await countChat(tx, session.handle, { running: -1, reservedSats, allowances });
    tx.deleteVolatile(requestKey(running.session, id));
  } else {
    await post(tx, nonZero([reservationReleased(id, session.handle, costSheet.refundSats)]), now);
  }
  const balanceSats = await balance(tx, sessionAccount(session.handle));
  const chats = await chatsOf(tx, session.handle);
  const ended = endedRequest(running, {
    outcome,
    costSheet,
    grantedSats,
    balanceSats: balanceSats - chats.reservedSats,
    now,
  });
  const { chargeSats, state } = ended;
  const durableSats = chat ? 0 : reservedSats;
  await countUnder(tx, allowances, { reservedSats: -durableSats, spentSats: chargeSats });
  const next = requestEnded(session, {
    durable: !chat,
    reservedSats: durableSats,
    costSheet,
    balanceSats,
    succeeded: state === "complete",
    terms: settings.sessions,
    now,
  });
  await putSession(tx, next, session);
  if (chat) tx.insert(requestKey(session.handle, id), ended); // its id is random, and it ends once
  else putRequest(tx, ended);
  if (text) putResult(tx, id, text);
  tx.event({ type: "session_request", handle: session.handle, request: id, state });
  return ended;
}
