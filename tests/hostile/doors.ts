/** Attacks on the doors: memory, slow callers, floods, streams. None of them pays anything. */
import {
  type Attack,
  callerNo,
  medianOf,
  megabytes,
  type Outcome,
  pause,
  type Reply,
  rounds,
  tally,
  type Target,
  until,
} from "./attack.ts";
import { head, openWire, type Wire } from "./sockets.ts";

/** How long a body may take to arrive (middlewares/receive-body.ts), and what a busy machine adds to it (ms). */
const BODY_MS = 30_000;
const GRACE_MS = 5_000;
const CHAT = "/api/v1/chat/completions";
const JSON_TYPE = { "Content-Type": "application/json" };
const HONEST = "203.0.113.7";

/** Of the flood that follows: set for the instance, so that the run sees the limit and what lies behind it. */
export const FLOOD_SETTINGS = { perMinute: 60, openChallenges: 200, invoiceExpiryMs: 60_000 };

/** How long liveness takes somebody else, several times over (ms). */
async function healthMs(target: Target): Promise<number> {
  const taken: number[] = [];
  for (let i = 0; i < 5; i++) {
    const from = performance.now();
    const { status } = await target.call("GET", "/api/health", { from: HONEST });
    taken.push(status === 200 ? performance.now() - from : Infinity);
  }
  return medianOf(taken);
}

const closedOf = (wires: readonly Wire[]): number => wires.filter(({ closed }) => closed).length;
const statuses = (wires: readonly Wire[]): string => tally(wires.map(({ status }) => status));

/**
 * What is declared and does not come must hold no memory, and whoever waits is answered at the deadline. The socket of a caller who
 * then stays silent is closed with his next byte: Deno does not give a read back that waits, and closes no connection under one.
 */
const declared: Attack = {
  name: "memory: 300 connections declare 1 MiB and send 11 bytes",
  limitMs: 60_000,
  keptMegabytes: 40,
  async run(target) {
    const idle = await target.megabytes();
    const text = head(`POST ${CHAT}`, { ...JSON_TYPE, "Content-Length": 1_048_576 }) + `{"model":"x`;
    const begun = performance.now();
    const wires = await Promise.all(Array.from({ length: 300 }, () => openWire(target.port, text)));
    const answered = () => wires.filter(({ status, closed }) => status !== 0 || closed).length;
    const held: number[] = []; // rubbish that waits for its collection makes peaks, and says nothing of what is held
    while (performance.now() - begun < BODY_MS - 1_000) {
      held.push(await target.megabytes() - idle);
      await pause(1_000);
    }
    const early = answered();
    const inTime = await until(() => Promise.resolve(answered() === wires.length), 1_000 + GRACE_MS);
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    const silent = wires.length - closedOf(wires);
    await Promise.all(wires.map((wire) => wire.send(" ")));
    const gone = await until(() => Promise.resolve(closedOf(wires) === wires.length), GRACE_MS);
    const figures = `${megabytes(medianOf(held))} (≤ 20), at most ${megabytes(Math.max(...held))}, over ` +
      `${idle.toFixed(0)} MB while they waited; ` +
      `${answered()} answered after ${seconds} s (${statuses(wires)}), ${early} of them before the deadline; ` +
      `${silent} sockets stayed until their next byte, then ${closedOf(wires)} were closed`;
    wires.forEach(({ close }) => close());
    return { ok: inTime && gone && medianOf(held) <= 20, figures };
  },
};

/** A body of one byte now and then is given up at the deadline; a head that never ends keeps nobody else waiting. */
const slow: Attack = {
  name: "slow: 100 bodies of a byte a second, 100 heads that never end",
  limitMs: 60_000,
  keptMegabytes: 40,
  async run(target) {
    const begun = performance.now();
    const body = head("POST /api/jobs", { ...JSON_TYPE, "Content-Length": 1_000 });
    const chunked = head("POST /api/jobs", { ...JSON_TYPE, "Transfer-Encoding": "chunked" });
    const bodies = await Promise.all(
      Array.from({ length: 100 }, (_, n) => openWire(target.port, n % 2 === 0 ? body : chunked)),
    );
    const heads = await Promise.all(
      Array.from({ length: 100 }, () => openWire(target.port, `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: `)),
    );
    let slowest = 0;
    while (performance.now() - begun < BODY_MS + GRACE_MS && closedOf(bodies) < bodies.length) {
      await Promise.all([
        ...bodies.map((wire, n) => wire.send(n % 2 === 0 ? " " : "1\r\n \r\n")),
        ...heads.map((wire) => wire.send("a")),
      ]);
      slowest = Math.max(slowest, await healthMs(target));
      await pause(1_000);
    }
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    const openHeads = heads.length - closedOf(heads);
    const figures = `${closedOf(bodies)} of 100 bodies gone after ${seconds} s (${statuses(bodies)}); ` +
      `${openHeads} heads still open (Deno's own; a proxy's timeout ends them); others answered in ≤ ${
        slowest.toFixed(0)
      } ms`;
    const ok = closedOf(bodies) === 100 && bodies.every(({ status }) => status === 408) && slowest < 500;
    [...bodies, ...heads].forEach(({ close }) => close());
    return { ok, figures };
  },
};

const limited = ({ status, headers }: Reply) => (status === 429 || status === 503) && headers.has("retry-after");

/** Unpaid jobs, sessions and challenges of one address are limited; those of many are, together. */
const flood: Attack = {
  name: "flood: 300 unpaid jobs and 300 challenges of one address, 400 of 400 addresses",
  limitMs: 60_000,
  async run(target) {
    const job = (n: number, from: string) =>
      target.call("POST", "/api/jobs", { body: { request: `What is a hold invoice? ${n}` }, from });
    const chat = (n: number, from: string) =>
      target.call("POST", CHAT, {
        body: { model: "claude-sonnet-4-6", messages: [{ role: "user", content: `Hello ${n}` }] },
        from,
      });
    const flooded = async (
      total: number,
      ask: (n: number, from: string) => Promise<Reply>,
      from: (n: number) => string,
    ) => {
      const replies: Reply[] = [];
      await rounds(total, 20, 30_000, async (n) => void replies.push(await ask(n, from(n))));
      const rest = replies.filter(({ status }) => status !== 201 && status !== 402);
      return { made: replies.length - rest.length, replies, fine: rest.every(limited) && replies.length === total };
    };
    const { perMinute, openChallenges } = FLOOD_SETTINGS;
    const jobs = await flooded(300, job, () => "192.0.2.1");
    const challenges = await flooded(300, chat, () => "192.0.2.2");
    const many = await flooded(400, (n, from) => (n % 2 === 0 ? job : chat)(n, from), callerNo);
    const all = jobs.made + challenges.made + many.made;
    const said = (part: { replies: Reply[] }) => tally(part.replies.map(({ status }) => status));
    return {
      ok: [jobs, challenges, many].every(({ fine }) => fine) && jobs.made <= perMinute &&
        challenges.made <= perMinute && all <= openChallenges,
      figures: `jobs ${said(jobs)}; challenges ${said(challenges)} (≤ ${perMinute} a minute); ` +
        `many addresses ${said(many)}; ${all} open in all (≤ ${openChallenges})`,
    };
  },
};

/** What expired makes room. */
const afterFlood: Attack = {
  name: "flood, afterwards: expired challenges make room",
  limitMs: 90_000,
  async run(target) {
    const begun = performance.now();
    const body = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "Hello" }] };
    let last = 0;
    const room = await until(
      async () => (last = (await target.call("POST", CHAT, { body, from: HONEST })).status) === 402,
      FLOOD_SETTINGS.invoiceExpiryMs + 20_000,
      500,
    );
    return { ok: room, figures: `answered ${last} after ${((performance.now() - begun) / 1_000).toFixed(1)} s` };
  },
};

/** A thousand streams of one address leave room for those of others. */
const streams: Attack = {
  name: "streams: 1,000 on one unpaid job from one address",
  limitMs: 60_000,
  keptMegabytes: 40,
  async run(target) {
    const jobOf = async (from: string) => {
      const made = await target.call("POST", "/api/jobs", { body: { request: "What is a hold invoice?" }, from });
      return String(made.body.jobId);
    };
    const stream = (job: string, from: string) =>
      openWire(target.port, head(`GET /api/jobs/${job}/events`, { "X-Forwarded-For": from }));
    const one = await jobOf("192.0.2.3");
    const others = await Promise.all(Array.from({ length: 20 }, () => jobOf("192.0.2.4")));
    const mine = await jobOf(HONEST);
    const attack: Wire[] = [];
    await rounds(1_000, 50, 30_000, async () => void attack.push(await stream(one, "192.0.2.3")));
    const wide: Wire[] = [];
    await rounds(100, 50, 10_000, async (n) => void wide.push(await stream(others[n % 20] ?? one, "192.0.2.4")));
    const all = [...attack, ...wide];
    await until(() => Promise.resolve(all.every(({ status }) => status !== 0)), 20_000);
    const begun = performance.now();
    const own = await stream(mine, HONEST);
    const served = await until(() => Promise.resolve(/^event: |^data: /m.test(own.text)), 5_000);
    const ms = performance.now() - begun;
    const open = (list: readonly Wire[]) => list.filter(({ status, closed }) => status === 200 && !closed).length;
    const figures = `${attack.length} tried, ${statuses(attack)} (≤ 5 a job); another address over 20 jobs ` +
      `${statuses(wide)} (≤ 20); somebody else's stream spoke after ${ms.toFixed(0)} ms`;
    const ok = served && attack.length === 1_000 && open(attack) <= 5 && open(wide) <= 20 &&
      all.every(({ status }) => [200, 429, 503].includes(status));
    [...all, own].forEach(({ close }) => close());
    return { ok, figures };
  },
};

/** Whoever writes to the webhook must not decide what the wallet is asked. */
const webhooks: Attack = {
  name: "webhook: 2,000 posts of one hash while it is paid",
  limitMs: 60_000,
  keptMegabytes: 40,
  async run(target) {
    const body = { request: "What is a hold invoice?" };
    const job = await target.call("POST", "/api/jobs", { body, from: "203.0.113.8" });
    const { paymentHash } = job.body.evalInvoice;
    const replies: number[] = [];
    const from = "192.0.2.5";
    const hooks = rounds(2_000, 20, 30_000, async () => {
      const hook = await target.call("POST", "/api/lightning/webhook", { body: { payment_hash: paymentHash }, from });
      replies.push(hook.status);
    });
    const others = await healthMs(target);
    const begun = performance.now();
    await target.call("POST", `/api/dev/stub/pay/${paymentHash}`);
    const noticed = await until(async () => {
      const { body } = await target.call("GET", `/api/jobs/${job.body.jobId}`, { from: HONEST });
      return body?.state !== "awaiting_eval_payment";
    }, 5_000);
    const ms = performance.now() - begun;
    await hooks;
    const ok = noticed && others < 500 && replies.every((status) => status === 204 || status === 429);
    const figures = `${tally(replies)}; the payment was noticed after ${ms.toFixed(0)} ms, others answered in ${
      others.toFixed(0)
    } ms (look-ups of the wallet are counted by lib/payments/settlements.test.ts)`;
    return { ok, figures };
  },
};

/** Memory that an attack leaves behind: within `mb` of what there was before, within a minute. */
export async function released(target: Target, idle: number, mb: number): Promise<Outcome> {
  let now = Infinity;
  const begun = performance.now();
  const ok = await until(async () => (now = await target.megabytes()) - idle <= mb, 60_000, 500);
  const seconds = ((performance.now() - begun) / 1_000).toFixed(0);
  return { ok, figures: `kept ${megabytes(now - idle)} (≤ ${mb}) after ${seconds} s` };
}

/** In this order: the flood first, since the invoices it leaves open expire while the slow attacks wait. */
export const DOORS: readonly Attack[] = [flood, declared, slow, afterFlood, streams, webhooks];
