import assert from "node:assert/strict";
import fc from "fast-check";
import { jobAccount, LIGHTNING, refundAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import type { Posting } from "@/lib/ledger/postings.ts";
import {
  becameReady,
  type Bootstrap,
  type BootstrapStep,
  cancel,
  currentStep,
  destroyed,
  failed,
  feePaid,
  invoiceExpired,
  markedHandedOver,
  newBootstrap,
  reported,
  STEP_NAMES,
  stepDone,
  type StepName,
  unconfirmed,
} from "./bootstrap.machine.ts";
import type { FirstBootReport } from "./keys/first-boot-report.ts";
import { newDelivery } from "./keys/delivery.rules.ts";

const HANDLE = "0123456789abc";
const HASH = "aa".repeat(32);
const FEE = 10_000;
const TERMS = { dustSats: 1, claimDays: 30, maxFeeSats: 10 };
const FIRST_BOOT_MS = 1_200_000;
const REPORT: FirstBootReport = {
  at: 0,
  sshHostKeys: ["ssh-ed25519 AAAA"],
  nodeKey: "ssh-ed25519 BBBB",
  tailscaleHostname: null,
  lnbitsUrl: null,
  services: {},
};

const ordered = (sealed: string | null = "sealed"): Bootstrap =>
  newBootstrap({
    handle: HANDLE,
    pubkey: null,
    simulated: [],
    lightningAddress: null,
    order: { region: "nyc3", size: "s-4vcpu-8gb", volumeGb: 0, days: 30 },
    feeSats: FEE,
    invoice: { paymentHash: HASH, paymentRequest: "lnbcrt1", amountSats: FEE, expiresAt: 600_000 },
    publicKey: "ssh-ed25519 AAAA",
    privateKey: newDelivery(sealed),
    createdAt: 0,
  });

type Outcome = BootstrapStep | { outcome: string };
const wrote = (step: Outcome): BootstrapStep => {
  assert.equal(step.outcome, "applied");
  return step as BootstrapStep;
};
const after = (step: Outcome): Bootstrap => wrote(step).bootstrap;
const pay = (bootstrap: Bootstrap, paidSats = FEE) =>
  feePaid(bootstrap, { paymentHash: HASH, paidSats, terms: TERMS, now: 1 });
const done = (bootstrap: Bootstrap, name: StepName, now = 2) =>
  stepDone(bootstrap, name, {
    made: name === "droplet" ? { machineId: "7" } : name === "ip" ? { ipv4: "192.0.2.7" } : {},
    now,
    firstBootMs: FIRST_BOOT_MS,
  });

/** Paid, and taken on until `name` is under way. */
function at(name: StepName): Bootstrap {
  let bootstrap = after(pay(ordered()));
  for (const step of STEP_NAMES) {
    if (step === name) return bootstrap;
    bootstrap = after(done(bootstrap, step));
  }
  return bootstrap;
}

/** What each account holds after these postings (sats). */
function balances(postings: readonly Posting[]): Map<string, number> {
  const held = new Map<string, number>();
  for (const { from, to, sats } of postings) {
    held.set(from, (held.get(from) ?? 0) - sats);
    held.set(to, (held.get(to) ?? 0) + sats);
  }
  return held;
}

Deno.test("a node that is made: the fee is earned when it has reported, and not before", () => {
  const reportedNode = after(reported(at("first_boot"), { report: REPORT, now: 3 }));
  const ready = wrote(becameReady(reportedNode, TERMS, 4));
  assert.deepEqual(ready.postings.map(({ kind, sats }) => [kind, sats]), [["bootstrap-fee", FEE]]);
  assert.equal(ready.bootstrap.state, "ready");
  assert.equal(ready.bootstrap.paidUntil, 4 + 30 * 86_400_000);
  assert.equal(ready.refund, null);
  assert.deepEqual(ready.bootstrap.steps.map(({ name }) => name), [...STEP_NAMES]);
  assert.deepEqual(ready.bootstrap.steps.filter(({ finishedAt }) => finishedAt === null), []);
});

Deno.test("ready: neither without a report nor without an address", () => {
  assert.equal(becameReady(at("first_boot"), TERMS, 4).outcome, "replayed");
  const early = after(reported(at("ip"), { report: REPORT, now: 3 }));
  assert.equal(becameReady(early, TERMS, 4).outcome, "replayed", "the address is not known yet");
});

Deno.test("a report that comes before the address is known counts as soon as it is", () => {
  const early = after(reported(at("droplet"), { report: REPORT, now: 3 }));
  const addressed = wrote(done(after(done(early, "droplet")), "ip", 9));
  assert.deepEqual(addressed.tasks, [{ kind: "bootstrap", id: HANDLE, dueAt: 9 }], "nothing is waited for");
  assert.equal(after(becameReady(addressed.bootstrap, TERMS, 10)).state, "ready");
});

Deno.test("a report: once, from one key, and only while a machine may be there", () => {
  const told = after(reported(at("first_boot"), { report: REPORT, now: 3 }));
  assert.equal(reported(told, { report: REPORT, now: 4 }).outcome, "replayed");
  assert.equal(reported(told, { report: { ...REPORT, nodeKey: "other" }, now: 4 }).outcome, "contradicted");
  for (const early of [ordered(), after(pay(ordered())), at("volume")]) {
    assert.equal(reported(early, { report: REPORT, now: 4 }).outcome, "over");
  }
  assert.equal(reported(after(failed(at("ip"), "no", 5)), { report: REPORT, now: 6 }).outcome, "over");
});

Deno.test("no report in time: the payer may wait on, and be ready after all, or cancel and have everything back", () => {
  const waiting = after(unconfirmed(at("first_boot")));
  assert.equal(waiting.state, "ready_unconfirmed");
  const late = wrote(reported(waiting, { report: REPORT, now: 9 }));
  assert.deepEqual(late.tasks, [{ kind: "bootstrap", id: HANDLE, dueAt: 9 }]);
  assert.equal(after(becameReady(late.bootstrap, TERMS, 10)).state, "ready");
  const cancelled = after(cancel(waiting, 9));
  assert.equal(cancelled.state, "failed");
  assert.equal(wrote(destroyed(cancelled, TERMS, 10)).refund?.sats, FEE);
});

Deno.test("cancelling: possible until the commit before the machine is ordered, then not", () => {
  for (const name of ["ssh_key", "tailscale_key", "volume"] as const) {
    const cancelled = wrote(cancel(at(name), 5));
    assert.equal(cancelled.bootstrap.state, "failed");
    assert.deepEqual(cancelled.postings, [], "nothing is owed before nothing is left");
  }
  for (const name of ["droplet", "ip", "first_boot"] as const) assert.equal(cancel(at(name), 5).outcome, "too_late");
  const ready = after(becameReady(after(reported(at("first_boot"), { report: REPORT, now: 3 })), TERMS, 4));
  assert.equal(cancel(ready, 5).outcome, "too_late");
});

Deno.test("cancelled before it was paid: a payment that comes all the same is owed back at once, and nothing is made", () => {
  const cancelled = after(cancel(ordered(), 5));
  assert.equal(cancelled.state, "expired");
  const paid = wrote(pay(cancelled));
  assert.deepEqual([paid.bootstrap.state, paid.refund?.sats, paid.tasks], ["failed", FEE, []]);
  const held = balances(paid.postings);
  assert.deepEqual([held.get(jobAccount(HANDLE)), held.get(refundAccount(HANDLE))], [0, FEE]);
});

Deno.test("expired: a payment that still comes revives it", () => {
  const expired = after(invoiceExpired(ordered(), HASH));
  assert.equal(expired.state, "expired");
  assert.equal(after(pay(expired)).state, "provisioning");
  assert.equal(invoiceExpired(after(pay(expired)), HASH).outcome, "replayed");
});

Deno.test("paid twice, or with another invoice: nothing changes", () => {
  assert.equal(pay(after(pay(ordered()))).outcome, "replayed");
  const other = feePaid(ordered(), { paymentHash: "bb".repeat(32), paidSats: FEE, terms: TERMS, now: 1 });
  assert.equal(other.outcome, "replayed");
});

Deno.test("overpaid: the fee is earned, the rest is owed back", () => {
  let bootstrap = after(pay(ordered(), FEE + 500));
  for (const step of STEP_NAMES.slice(0, 5)) bootstrap = after(done(bootstrap, step));
  const ready = wrote(becameReady(after(reported(bootstrap, { report: REPORT, now: 3 })), TERMS, 4));
  assert.equal(ready.refund?.sats, 500);
  assert.deepEqual(ready.tasks, [{ kind: "bootstrap", id: HANDLE, dueAt: 4 }], "the machine is still to be marked");
  assert.equal(after(markedHandedOver(ready.bootstrap)).handedOver, true);
});

Deno.test("failed: the private key and the tailnet key are kept by nobody", () => {
  const sealedKeys = { ...at("droplet"), made: { ...at("droplet").made, tailnetKey: "sealed" } };
  const over = after(failed(sealedKeys, "The machine could not be made.", 7));
  assert.deepEqual([over.privateKey.sealed, over.privateKey.erasedAt, over.made.tailnetKey], [null, 7, ""]);
});

Deno.test("any history: the account holds what was paid until one end, and every satoshi is earned or owed back, once", () => {
  const act = fc.constantFrom("pay", "expire", "cancel", "step", "report", "overdue", "ready", "fail", "gone", "mark");
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), fc.integer({ min: 1, max: 30_000 }), (acts, paidSats) => {
      let bootstrap = ordered();
      const postings: Posting[] = [];
      const ids = new Set<string>();
      let refunds = 0;
      acts.forEach((name, now) => {
        const step: Outcome = {
          pay: () => feePaid(bootstrap, { paymentHash: HASH, paidSats, terms: TERMS, now }),
          expire: () => invoiceExpired(bootstrap, HASH),
          cancel: () => cancel(bootstrap, now),
          step: () => done(bootstrap, currentStep(bootstrap)?.name ?? "ssh_key", now),
          report: () => reported(bootstrap, { report: REPORT, now }),
          overdue: () => unconfirmed(bootstrap),
          ready: () => becameReady(bootstrap, TERMS, now),
          fail: () => failed(bootstrap, "no", now),
          gone: () => destroyed(bootstrap, TERMS, now),
          mark: () => markedHandedOver(bootstrap),
        }[name]();
        if (step.outcome !== "applied") return;
        const written = step as BootstrapStep;
        for (const posting of written.postings) {
          assert.ok(!ids.has(posting.id), `posted twice: ${posting.id}`);
          ids.add(posting.id);
          postings.push(posting);
        }
        if (written.refund) refunds++;
        bootstrap = written.bootstrap;
        const held = balances(postings);
        const ended = bootstrap.state === "ready" ||
          (bootstrap.state === "failed" && bootstrap.destroyingSince === null);
        assert.equal(held.get(jobAccount(HANDLE)) ?? 0, ended ? 0 : bootstrap.paidSats);
        const earned = held.get(REVENUE.bootstrap) ?? 0;
        const owed = held.get(refundAccount(HANDLE)) ?? 0;
        assert.equal(earned, bootstrap.state === "ready" ? Math.min(FEE, bootstrap.paidSats) : 0);
        assert.equal(0 - (held.get(LIGHTNING) ?? 0), bootstrap.paidSats);
        if (ended) assert.equal(earned + owed, bootstrap.paidSats);
        assert.ok(refunds <= 1);
      });
    }),
    { numRuns: 2_000 },
  );
});
