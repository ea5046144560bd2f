import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createLogCollector } from "@/tests/harness/world.ts";
import { readBackup } from "./backup.ts";
import { createSchedule, nameAt, type ScheduleSettings, timeIn } from "./schedule.ts";

const HOUR = 3_600_000;

async function inPlace(body: (place: Awaited<ReturnType<typeof setUp>>) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await body(await setUp(root));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function setUp(root: string) {
  const [data, folder] = [`${root}/data`, `${root}/data/backups`];
  await Deno.mkdir(data);
  const kv = await Deno.openKv(`${data}/timmy.kv`);
  await kv.set(["row"], 1);
  kv.close();
  await Deno.writeTextFile(`${data}/capability.key`, "k".repeat(32));
  const clock = createFakeClock(Date.UTC(2026, 0, 1, 12));
  const log = createLogCollector();
  const open = (part: Partial<ScheduleSettings> = {}) =>
    createSchedule({ folder, everyMs: HOUR, keep: 3, passphrase: null, ...part }, {
      data,
      clock,
      log,
      program: "1.0.0",
      log2N: 4,
    });
  const names = async () => (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).toSorted();
  /** The threads and disks of a backup take real time. */
  const until = async (ready: () => Promise<boolean>) => {
    const ends = systemClock.monotonic() + 10_000;
    while (!await ready().catch(() => false)) {
      assert.ok(systemClock.monotonic() < ends, JSON.stringify(log.lines));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return { data, folder, clock, log, open, names, until };
}

Deno.test("schedule: the name of a backup is its time, and what has another name is none", () => {
  const now = Date.UTC(2026, 10, 28, 4, 5, 6);
  assert.equal(nameAt(now + 789), "timmy-2026-11-28T040506Z.tmb");
  assert.equal(timeIn(nameAt(now)), now);
  for (const name of ["timmy.tmb", "timmy-2026-11-28T040506Z.tmb.part-7", "my-timmy-2026-11-28T040506Z.tmb", ""]) {
    assert.equal(timeIn(name), null);
  }
});

Deno.test("schedule: one at the start, then one each time, the oldest are removed and nothing else", async () => {
  await inPlace(async ({ folder, clock, open, names, until }) => {
    await Deno.mkdir(folder);
    await Deno.writeTextFile(`${folder}/mine.tmb`, "mine");
    const schedule = open();
    const start = clock.now();
    schedule.start();
    for (let i = 0; i < 5; i++) {
      const at = nameAt(start + i * HOUR);
      await until(async () => (await names()).includes(at) && (await names()).length <= 4 && clock.pending() > 0);
      if (i < 4) await clock.advance(HOUR);
    }
    assert.deepEqual(await names(), ["mine.tmb", ...[2, 3, 4].map((i) => nameAt(start + i * HOUR))]);
    await schedule.stop();
  });
});

Deno.test("schedule: a restart makes none before its time", async () => {
  await inPlace(async ({ clock, open, names, until }) => {
    const first = open();
    first.start();
    await until(async () => (await names()).length === 1 && clock.pending() > 0);
    await first.stop();
    await clock.advance(HOUR - 1);
    const second = open();
    second.start();
    await until(() => Promise.resolve(clock.pending() > 0));
    assert.equal((await names()).length, 1);
    await clock.advance(1);
    await until(async () => (await names()).length === 2 && clock.pending() > 0);
    await second.stop();
  });
});

for (const passphrase of [null, "correct horse"]) {
  Deno.test(`schedule: ${passphrase === null ? "without a passphrase no key is in it" : "with a passphrase it is encrypted and has the keys"}`, async () => {
    await inPlace(async ({ folder, clock, open, names, until }) => {
      const schedule = open({ passphrase });
      schedule.start();
      await until(async () => (await names()).length === 1 && clock.pending() > 0);
      const header = await readBackup(`${folder}/${(await names())[0]}`, passphrase, "1.0.0");
      const keys = passphrase === null ? [] : ["capability.key"];
      assert.deepEqual([header.secrets, header.files.map(({ name }) => name)], [passphrase !== null, [
        "timmy.kv",
        ...keys,
      ]]);
      await schedule.stop();
    });
  });
}

Deno.test("schedule: one that fails is said, tried again, and removes nothing", async () => {
  await inPlace(async ({ data, clock, log, open, names, until }) => {
    await Deno.rename(`${data}/timmy.kv`, `${data}/away`);
    const schedule = open();
    schedule.start();
    await until(() =>
      Promise.resolve(log.lines.some(({ fields }) => fields.code === "backup_failed") && clock.pending() > 0)
    );
    assert.deepEqual(await names(), []);
    await Deno.rename(`${data}/away`, `${data}/timmy.kv`);
    await clock.advance(600_000);
    await until(async () => (await names()).length === 1 && clock.pending() > 0);
    await schedule.stop();
  });
});
