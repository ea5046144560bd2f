import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { isSent } from "../books/books.ts";
import { compareBooks, readCopies } from "./books.ts";
import { createDice } from "./dice.ts";
import { type Answer, drawMood, oneJob, type PayerCounts, readOnce } from "./payer.ts";
import { audit, type Life, type Program, start } from "./process.ts";
import {
  drawSession,
  oneSession,
  readHistory,
  readSessionOnce,
  type SessionCalls,
  type Streamed,
} from "./session-payer.ts";
import { awaitsBooking, createSessionWitness, type SessionRecord } from "./session-witness.ts";
import { type Upstream } from "./upstream.ts";
import { awaitsDelivery, createWitness, isOver, progressOf, type Violation } from "./witness.ts";

export interface RunOptions {
  program: Program;
  /** The model server that the program asks for its slow model. */
  upstream: Upstream;
  origin: string;
  /** Where the server's data lies, and an empty folder for copies of it. */
  dataDir: string;
  copyDir: string;
  kills: number;
  seed: number;
  /** How many payers are at it at the same time. */
  payers: number;
  /** How long everything may take to come to its end after the last start (ms). */
  drainMs: number;
  print(line: string): void;
}

export interface Report {
  seed: number;
  kills: number;
  /** Those of them that hit a process which did not answer yet. */
  killsDuringStart: number;
  /** Jobs by their last known state. */
  jobs: Record<string, number>;
  sessions: SessionFigures;
  counts: PayerCounts;
  /** Calls that a kill cut off: sent, and never answered. By what they were for. */
  cut: Record<CallKind, number>;
  /** Calls that found nobody listening. */
  unheard: number;
  /** Paid jobs that a killed process left, and that went on in the next one: after so many ms of it being up. */
  resumedMs: number[];
  startedMs: number[];
  payments: number;
  payouts: number;
  drainedMs: number;
  audits: { when: string; ok: boolean }[];
  violations: Violation[];
}

export type CallKind = "create" | "pay" | "ask" | "stream" | "claim" | "read";

/** What the store holds of sessions at the end, and what their holders did. */
export interface SessionFigures {
  /** By state. */
  sessions: Record<string, number>;
  requests: Record<string, number>;
  topups: number;
  /** Streams that their reader left, and requests repeated with their key after a lost answer. */
  hungUp: number;
  repeated: number;
}

/** A killed process resumes its paid work within this time of being back (economy.md §8). */
export const RESUME_LIMIT_MS = 5_000;
const ALIVE_MIN_MS = 50;
const ALIVE_MAX_MS = 900;
const START_LIMIT_MS = 30_000;
const CALL_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 15_000;
/** Without a kill the load lasts this long. */
const CALM_LOAD_MS = 3_000;
/** One life in so many lasts until everything paid has gone on, so that the slowest is seen too. */
const PATIENT_EVERY = 5;
/** How much of the load are sessions. */
const SESSIONS = 0.4;
/** Longer than a round of the reconciler. */
const SETTLE_MS = 1_500;
const READS_AT_ONCE = 8;

const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

/** Loads a server, kills it again and again, lets it come to rest, and compares all that anybody knows. */
export async function run(options: RunOptions): Promise<Report> {
  const { program, origin, kills, seed, print } = options;
  const dice = createDice(createSeededRandom(seed));
  const witness = createWitness();
  const counts: PayerCounts = { answers: 0, refusedForNow: 0 };
  const report: Report = {
    seed,
    kills: 0,
    killsDuringStart: 0,
    jobs: {},
    sessions: { sessions: {}, requests: {}, topups: 0, hungUp: 0, repeated: 0 },
    counts,
    cut: { create: 0, pay: 0, ask: 0, stream: 0, claim: 0, read: 0 },
    unheard: 0,
    resumedMs: [],
    startedMs: [],
    payments: 0,
    payouts: 0,
    drainedMs: 0,
    audits: [],
    violations: [],
  };
  let costSheet = false;
  let over = false;
  const sessionViolations: Violation[] = [];
  const sessionWitness = createSessionWitness((kind, what) => {
    sessionViolations.push({ kind, what, session: true });
  });
  const calls: SessionCalls = {
    async send(method, path, body, headers) {
      const sent = await send(origin, method, path, body, headers);
      if (sent === "unheard") report.unheard++;
      if (sent === "cut") report.cut[kindOf(method, path)]++;
      return typeof sent === "string" ? null : sent;
    },
    async stream(path, body, headers, hangUpAfter) {
      const told = await stream(origin, path, body, headers, hangUpAfter);
      if (told === "unheard") report.unheard++;
      if (told === "cut" || (typeof told === "object" && told.broken)) report.cut.stream++;
      return typeof told === "string" ? null : told;
    },
    pause,
    over: () => over,
  };
  const records = () => [...witness.records.values()];
  const sessions = () => [...sessionWitness.records.values()];

  async function payer(index: number): Promise<void> {
    const own = createDice(createSeededRandom(seed * 1_000 + index));
    for (let n = 0; !costSheet; n++) {
      const token = `payer${index}-${n}`;
      if (own.chance(SESSIONS)) {
        await oneSession({ mood: drawSession(own, token), dice: own, calls, witness: sessionWitness, counts });
      } else await oneJob({ mood: drawMood(own, token), dice: own, calls, witness, counts });
      await pause(own.between(0, 200));
    }
  }

  async function up(life: Life): Promise<boolean> {
    const ms = await Promise.race([life.up(), pause(START_LIMIT_MS)]);
    if (typeof ms === "number") report.startedMs.push(ms);
    else witness.report("unexpected", `the server did not start: ${life.stderr.trim() || "no word from it"}`);
    return typeof ms === "number";
  }

  /** What a life leaves behind, and every error it wrote down. */
  async function end(life: Life): Promise<void> {
    if (life.ended) {
      witness.report("unexpected", `the server ended by itself (${life.ended.code}): ${life.stderr.trim()}`);
    }
    await life.kill();
    for (const line of life.errors) witness.report("unexpected", `the server logged an error: ${line}`);
  }

  async function auditNow(when: string): Promise<void> {
    const { ok, text } = await audit(program);
    report.audits.push({ when, ok });
    if (!ok) witness.report("audit", `${when}: ${text}`);
  }

  /** Follows what was paid and undelivered when the last process died. @returns how far it is, and a way to wait for it. */
  function follow(left: readonly Left[], upAt: number) {
    const waiting = new Set(left);
    let stopped = false;
    let slowest = 0;
    const done = (async () => {
      while (waiting.size > 0 && !stopped) {
        await inTurn([...waiting], async (one) => {
          if (!stopped && !one.wentOn()) await one.look();
        });
        for (const one of waiting) {
          if (stopped || !one.wentOn()) continue;
          waiting.delete(one);
          const ms = performance.now() - upAt;
          slowest = Math.max(slowest, ms);
          report.resumedMs.push(ms);
          if (ms > RESUME_LIMIT_MS) {
            witness.report("late", `${one.name}: went on ${Math.round(ms)} ms after the restart`);
          }
        }
        await pause(20);
      }
    })();
    return {
      /** Waits for all of it, at most the limit. */
      async all() {
        await Promise.race([done, pause(RESUME_LIMIT_MS + 500)]);
        for (const { name } of waiting) {
          witness.report("late", `${name}: not taken up ${RESUME_LIMIT_MS} ms after the restart`);
        }
      },
      stop: () => void (stopped = true),
      line: () =>
        left.length === 0
          ? "nothing was left"
          : `${left.length - waiting.size}/${left.length} paid went on in ${Math.round(slowest)} ms`,
    };
  }

  const cutOff = () => Object.values(report.cut).reduce((sum, n) => sum + n, 0);
  const undelivered = (): Left[] => [
    ...records().filter((record) => record.jobId !== null && awaitsDelivery(record)).map((record) => {
      const before = progressOf(record);
      return {
        name: record.plan.token,
        wentOn: () => progressOf(record) !== before,
        look: () => readOnce(calls, witness, record),
      };
    }),
    ...sessions().filter(awaitsBooking).map((record) => {
      const open = record.seen?.openInvoice;
      return {
        name: record.token,
        wentOn: () => record.seen?.openInvoice !== open,
        look: () => readSessionOnce(calls, sessionWitness, record),
      };
    }),
  ];

  async function lives(): Promise<boolean> {
    let left: Left[] = [];
    for (let n = 1; n <= kills; n++) {
      const life = start(program, () => answers(origin));
      const no = `kill ${String(n).padStart(String(kills).length)}/${kills}`;
      if (dice.chance(0.15)) {
        await pause(dice.between(20, Math.round(report.startedMs.at(-1) ?? 500)));
        await end(life);
        report.killsDuringStart++;
        report.kills++;
        print(`${no}  while it started`);
        continue;
      }
      if (!(await up(life))) {
        await end(life);
        return false;
      }
      const upAt = performance.now();
      const following = follow(left, upAt);
      if (n % PATIENT_EVERY === 0) await following.all();
      if (n >= kills / 2 && report.audits.length === 0) await auditNow("under load");
      await pause(dice.between(ALIVE_MIN_MS, ALIVE_MAX_MS));
      const aliveMs = performance.now() - upAt;
      following.stop();
      left = undelivered();
      await end(life);
      report.kills++;
      const paid = [...records(), ...sessions()].reduce((sum, record) => sum + record.paid.size, 0);
      print(
        `${no}  up after ${Math.round(report.startedMs.at(-1) ?? 0)} ms, killed after ${Math.round(aliveMs)} ms: ` +
          `${following.line()}; ${witness.records.size} jobs, ${sessions().length} sessions, ${paid} payments, ` +
          `${cutOff()} calls cut off`,
      );
    }
    return await rest(left);
  }

  /** The last life: nobody kills it, and everything comes to its end. */
  async function rest(left: readonly Left[]): Promise<boolean> {
    const life = start(program, () => answers(origin));
    const running = await up(life);
    if (running) {
      const following = follow(left, performance.now());
      if (kills === 0) await pause(CALM_LOAD_MS);
      await following.all();
      following.stop();
      const drainedFrom = performance.now();
      await drain(drainedFrom + options.drainMs);
      report.drainedMs = performance.now() - drainedFrom;
      await auditNow("while it runs");
      const code = await life.stop(STOP_LIMIT_MS);
      if (code !== 0) {
        witness.report("unexpected", `asked to stop, it ended with ${code ?? "SIGKILL"}: ${life.stderr.trim()}`);
      }
    }
    await end(life);
    return running;
  }

  async function drain(until: number): Promise<void> {
    costSheet = true;
    const late = () => performance.now() > until;
    await Promise.race([
      Promise.all(payers),
      (async () => {
        while (!late()) await pause(100);
      })(),
    ]);
    over = true;
    await Promise.all(payers);
    await pause(SETTLE_MS);
    const open = () => records().filter((record) => record.jobId !== null && record.seen && !isOver(record.seen.state));
    await inTurn(open(), (record) => readOnce(calls, witness, record));
    while (!late() && undelivered().length > 0) {
      await pause(100);
      await inTurn(undelivered(), (one) => one.look());
    }
    await inTurn(records().filter(({ jobId }) => jobId !== null), async (record) => {
      if (!(await readOnce(calls, witness, record))) {
        witness.report("unexpected", `${record.plan.token}: the last look got no answer`);
      }
    });
    await lastLookAtSessions(late);
  }

  /** Every session, once nothing of it runs any more, with its whole history. */
  async function lastLookAtSessions(late: () => boolean): Promise<void> {
    const known = sessions().filter(({ sessionId }) => sessionId !== null);
    const look = async (record: SessionRecord) => {
      if (await readSessionOnce(calls, sessionWitness, record)) return;
      sessionWitness.report("unexpected", `${record.token}: the last look got no answer`);
    };
    await inTurn(known, look);
    const busy = () => known.filter(({ seen }) => (seen?.heldSats ?? 0) > 0);
    while (!late() && busy().length > 0) {
      await pause(100);
      await inTurn(busy(), look);
    }
    await inTurn(known, async (record) => {
      if (await readHistory(calls, sessionWitness, record)) return;
      sessionWitness.report("unexpected", `${record.token}: its history got no answer`);
    });
    const open = options.upstream.open();
    if (open > 0) sessionWitness.report("stuck", `${open} streams of the model are still read by nobody`);
  }

  const payers = Array.from({ length: options.payers }, (_, index) => payer(index));
  const rested = await lives();
  costSheet = over = true;
  await Promise.all(payers);
  if (rested) {
    await auditNow("after the end");
    const books = await readCopies(options.dataDir, options.copyDir);
    for (const violation of compareBooks(books, records(), sessions())) {
      if (violation.session) sessionViolations.push(violation);
      else witness.report(violation.kind, violation.what);
    }
    report.payments = books.wallet.received.size;
    report.payouts = [...books.wallet.payments.keys()].filter((hash) => isSent(books.wallet, hash)).length;
    report.jobs = countBy(books.jobs, ({ state }) => state);
    const asks = sessions().flatMap((record) => record.asks);
    report.sessions = {
      sessions: countBy(books.sessions, ({ state }) => state),
      requests: countBy(books.requests, ({ state }) => state),
      topups: sessions().reduce((sum, { paid }) => sum + Math.max(0, paid.size - 1), 0),
      hungUp: asks.filter(({ plan, answer }) => plan.hangUpAfter !== null && answer?.state === "interrupted").length,
      repeated: asks.filter(({ repeats }) => repeats > 0).length,
    };
  }
  report.violations = [...witness.violations, ...sessionViolations];
  return report;
}

/** Something paid that the last process had not delivered. */
interface Left {
  name: string;
  wentOn(): boolean;
  look(): Promise<unknown>;
}

function countBy<T>(list: readonly T[], name: (item: T) => string): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(list, name)].map(([key, some]) => [key, some.length]));
}

/** Runs `fn` over a list, a few at a time. */
async function inTurn<T>(list: readonly T[], fn: (item: T) => Promise<unknown>): Promise<void> {
  const rest = [...list].reverse();
  await Promise.all(Array.from({ length: READS_AT_ONCE }, async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await fn(item);
  }));
}

const kindOf = (method: string, path: string): CallKind =>
  method === "GET" || path.endsWith("/invoice")
    ? "read"
    : path.includes("/pay/")
    ? "pay"
    : path.endsWith("/refund") || path.endsWith("/close")
    ? "claim"
    : path.endsWith("/request") || path.endsWith("/completions")
    ? "ask"
    : "create";

/** @returns `unheard` when nobody listened, `cut` when an answer was lost and the caller knows nothing. */
async function send(
  origin: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer | "unheard" | "cut"> {
  try {
    const response = await fetch(origin + path, {
      method,
      headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const requestId = response.headers.get("x-timmy-request-id");
    return { status: response.status, requestId, body: await response.json() };
  } catch (error) {
    const { message, cause } = error as Error;
    return /connection refused/i.test(`${message} ${cause}`) ? "unheard" : "cut";
  }
}

/** @returns `broken` when the stream ended before its last frame, other than by hanging up. */
async function stream(
  origin: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
  hangUpAfter: number | null,
): Promise<Streamed & { broken: boolean } | "unheard" | "cut"> {
  const told: Streamed & { broken: boolean } = {
    status: 0,
    requestId: null,
    text: "",
    timmy: null,
    body: null,
    broken: false,
  };
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), CALL_LIMIT_MS);
  try {
    const response = await fetch(origin + path, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: stop.signal,
    });
    told.status = response.status;
    told.requestId = response.headers.get("x-timmy-request-id");
    if (!response.headers.get("content-type")?.includes("event-stream")) {
      told.body = await response.json();
      return told;
    }
    let frames = 0;
    for await (const data of eventData(response.body as ReadableStream<Uint8Array>)) {
      if (data === "[DONE]") break;
      const chunk = JSON.parse(data);
      told.text += chunk.choices?.[0]?.delta?.content ?? "";
      if (chunk.timmy) told.timmy = chunk.timmy;
      if (hangUpAfter !== null && ++frames >= hangUpAfter) break;
    }
    if (told.timmy === null && hangUpAfter === null) told.broken = true;
    return told;
  } catch (error) {
    const { message, cause } = error as Error;
    if (told.status !== 0) return { ...told, broken: true };
    return /connection refused/i.test(`${message} ${cause}`) ? "unheard" : "cut";
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)) {
    const events = (rest + text).split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) if (event.startsWith("data: ")) yield event.slice("data: ".length);
  }
}

async function answers(origin: string): Promise<boolean> {
  const sent = await send(origin, "GET", "/api/health");
  return typeof sent !== "string" && sent.status === 200;
}
