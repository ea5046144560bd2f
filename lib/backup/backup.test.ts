import assert from "node:assert/strict";
import { BackupError, type BackupHeader } from "./archive.ts";
import { AgeError, backUp, readBackup, restore } from "./backup.ts";

const PROGRAM = "1.2.3";
const NOW = 1_700_000_000_000;
const OPTIONS = { secrets: false, passphrase: null, now: NOW, program: PROGRAM, log2N: 4 };
const SECRET = { ...OPTIONS, secrets: true, passphrase: "correct horse" };
const says = (kind: typeof BackupError | typeof AgeError, part: RegExp) => (error: unknown) => {
  assert.ok(error instanceof kind && part.test(error.message), String(error));
  return true;
};

interface Place {
  /** An instance's data folder. */
  data: string;
  /** An empty folder beside it. */
  out: string;
}

async function inPlace(body: (place: Place) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  const place = { data: `${root}/data`, out: `${root}/out` };
  try {
    for (const folder of Object.values(place)) await Deno.mkdir(folder);
    const kv = await Deno.openKv(`${place.data}/timmy.kv`);
    for (let i = 0; i < 200; i++) await kv.set(["row", i], { v: 1, text: "x".repeat(1_000) });
    kv.close();
    await Deno.writeTextFile(`${place.data}/payouts.journal`, "\n{}\n");
    await Deno.writeTextFile(`${place.data}/capability.key`, "k".repeat(32));
    await Deno.writeTextFile(`${place.data}/lock`, "");
    await body(place);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}
const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).toSorted();
const filesOf = (header: BackupHeader) => header.files.map(({ name }) => name);

async function rowsOf(file: string): Promise<number> {
  const kv = await Deno.openKv(file);
  try {
    return (await Array.fromAsync(kv.list({ prefix: ["row"] }))).length;
  } finally {
    kv.close();
  }
}

Deno.test("backup: databases and journal, the keys only when asked for; the lock and logs never", async () => {
  await inPlace(async ({ data, out }) => {
    assert.deepEqual(filesOf(await backUp(data, `${out}/a`, OPTIONS)), ["timmy.kv", "payouts.journal"]);
    assert.deepEqual(filesOf(await backUp(data, `${out}/b`, SECRET)), [
      "timmy.kv",
      "capability.key",
      "payouts.journal",
    ]);
    assert.deepEqual(await namesIn(out), ["a", "b"], "no draft is left");
    const kept = (await namesIn(data)).filter((name) => !/-(?:wal|shm)$/.test(name)); // SQLite's own, of whoever reads
    assert.deepEqual(kept, ["capability.key", "lock", "payouts.journal", "timmy.kv"]);
    for (const name of ["a", "b"]) assert.equal(((await Deno.stat(`${out}/${name}`)).mode ?? 0) & 0o777, 0o600);
  });
});

for (const [name, options] of [["plain", OPTIONS], ["encrypted", SECRET]] as const) {
  Deno.test(`backup: what comes back is what was there (${name})`, async () => {
    await inPlace(async ({ data, out }) => {
      await backUp(data, `${out}/b`, options);
      const { restored } = await restore(`${out}/b`, `${out}/new`, { ...options, now: NOW + 5 });
      assert.deepEqual(restored, { v: 1, backupAt: NOW, restoredAt: NOW + 5, secrets: options.secrets });
      assert.deepEqual(JSON.parse(await Deno.readTextFile(`${out}/new/restored.json`)), restored);
      assert.equal(await rowsOf(`${out}/new/timmy.kv`), 200);
      assert.equal(await Deno.readTextFile(`${out}/new/payouts.journal`), "\n{}\n");
      assert.equal((await namesIn(`${out}/new`)).includes("capability.key"), options.secrets);
      for (const file of ["timmy.kv", "restored.json"]) {
        assert.equal(((await Deno.stat(`${out}/new/${file}`)).mode ?? 0) & 0o777, 0o600);
      }
    });
  });
}

Deno.test("backup: of a database that is written to all the time it is one moment, and it ends", async () => {
  await inPlace(async ({ data, out }) => {
    const kv = await Deno.openKv(`${data}/timmy.kv`);
    let writing = true;
    let rounds = 0;
    const writer = (async () => {
      // Each commit moves both rows: a copy of two moments would show them apart.
      for (; writing; rounds++) await kv.atomic().set(["pair", 0], rounds).set(["pair", 9], rounds).commit();
    })();
    for (let i = 0; i < 5; i++) {
      await backUp(data, `${out}/${i}`, OPTIONS);
      await restore(`${out}/${i}`, `${out}/new${i}`, { ...OPTIONS });
      const copy = await Deno.openKv(`${out}/new${i}/timmy.kv`);
      const [one, other] = await copy.getMany<[number, number]>([["pair", 0], ["pair", 9]]);
      copy.close();
      assert.equal(one.value, other.value);
    }
    writing = false;
    await writer;
    kv.close();
    assert.ok(rounds > 5);
  });
});

Deno.test("backup: nothing is overwritten, by a backup or by a restore", async () => {
  await inPlace(async ({ data, out }) => {
    await backUp(data, `${out}/b`, OPTIONS);
    await assert.rejects(backUp(data, `${out}/b`, OPTIONS), says(BackupError, /is there already/));
    for (const file of ["x", ".hidden", "lock", "timmy.kv"]) {
      const folder = `${out}/full-${file}`;
      await Deno.mkdir(folder);
      await Deno.writeTextFile(`${folder}/${file}`, "mine");
      await assert.rejects(restore(`${out}/b`, folder, OPTIONS), says(BackupError, /not empty/));
      assert.deepEqual([await namesIn(folder), await Deno.readTextFile(`${folder}/${file}`)], [[file], "mine"]);
    }
  });
});

Deno.test("backup: torn anywhere, or with any of its bytes changed, it is refused and leaves an empty folder", async () => {
  await inPlace(async ({ data, out }) => {
    await backUp(data, `${out}/plain`, OPTIONS);
    await backUp(data, `${out}/secret`, SECRET);
    for (const [name, options] of [["plain", OPTIONS], ["secret", SECRET]] as const) {
      const good = await Deno.readFile(`${out}/${name}`);
      const bad: [string, Uint8Array][] = [0, 1, 20, 300, 5_000, good.length - 1].map((
        n,
      ) => [`torn at ${n}`, good.subarray(0, n)]);
      bad.push(["with more behind it", new Uint8Array([...good, 0])]);
      for (let i = 0; i < 40; i++) {
        // The header byte by byte, then positions all over it.
        const at = i < 20 ? i * 13 : Math.floor((i - 19) * good.length / 21) - 1;
        const flipped = good.slice();
        flipped[at]! ^= 1 << (i & 7);
        bad.push([`byte ${at}`, flipped]);
      }
      for (const [what, bytes] of bad) {
        await Deno.writeFile(`${out}/bad`, bytes);
        await assert.rejects(
          restore(`${out}/bad`, `${out}/new`, options),
          (error) => error instanceof BackupError || error instanceof AgeError,
          `${name}: ${what}`,
        );
        assert.deepEqual(await namesIn(`${out}/new`), [], what);
      }
    }
  });
});

Deno.test("backup: one of a newer program, or of a newer layout, is refused by name; an older one is taken", async () => {
  await inPlace(async ({ data, out }) => {
    for (const [program, taken] of [["1.2.2", true], ["1.2.3", true], ["1.2.4", false], ["2.0.0", false]] as const) {
      await backUp(data, `${out}/${program}`, { ...OPTIONS, program });
      const reading = readBackup(`${out}/${program}`, null, PROGRAM);
      if (taken) assert.equal((await reading).program, program);
      else {await assert.rejects(
          reading,
          says(BackupError, new RegExp(`timmy ${program} made this backup and this is 1.2.3`)),
        );}
    }
    await Deno.writeTextFile(`${out}/format`, "timmy-backup 2\n{}\n");
    await assert.rejects(readBackup(`${out}/format`, null, PROGRAM), says(BackupError, /newer timmy .*format 2/));
  });
});

Deno.test("backup: an encrypted one needs its passphrase; what is no backup or no instance is said to be none", async () => {
  await inPlace(async ({ data, out }) => {
    await backUp(data, `${out}/b`, SECRET);
    await assert.rejects(readBackup(`${out}/b`, null, PROGRAM), says(BackupError, /BACKUP_PASSPHRASE/));
    await assert.rejects(readBackup(`${out}/b`, "wrong", PROGRAM), says(AgeError, /passphrase is wrong/));
    await Deno.writeTextFile(`${out}/text`, "hello\n");
    await assert.rejects(readBackup(`${out}/text`, null, PROGRAM), says(BackupError, /no backup of timmy/));
    await assert.rejects(backUp(out, `${out}/c`, OPTIONS), says(BackupError, /folder of an instance/));
    await restore(`${out}/b`, `${out}/new`, SECRET);
    await assert.rejects(backUp(`${out}/new`, `${out}/c`, OPTIONS), says(BackupError, /not caught up/));
  });
});

Deno.test("restore: a newer journal is put behind the one of the backup", async () => {
  await inPlace(async ({ data, out }) => {
    await backUp(data, `${out}/b`, OPTIONS);
    await Deno.writeTextFile(`${out}/newer`, "\nnewer\n");
    await restore(`${out}/b`, `${out}/new`, { ...OPTIONS, journal: `${out}/newer` });
    assert.equal(await Deno.readTextFile(`${out}/new/payouts.journal`), "\n{}\n\nnewer\n");
    await assert.rejects(
      restore(`${out}/b`, `${out}/none`, { ...OPTIONS, journal: `${out}/missing` }),
      Deno.errors.NotFound,
    );
    assert.ok(!(await namesIn(out)).includes("none"));
  });
});
