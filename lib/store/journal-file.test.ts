import assert from "node:assert/strict";
import { openDataDir } from "./data-dir.ts";
import { openJournalFile } from "./journal-file.ts";
import { systemRandom } from "@/lib/ids.ts";

async function inFolder(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("journal: lines that come at once are all there, in their order, after it is opened again", async () => {
  await inFolder(async (path) => {
    const file = openJournalFile(`${path}/j`);
    assert.deepEqual(await file.lines(), []);
    const lines = Array.from({ length: 50 }, (_, i) => `line ${i}`);
    await Promise.all(lines.map((line) => file.append(line)));
    await openJournalFile(`${path}/j`).append("last");
    assert.deepEqual(await file.lines(), [...lines, "last"]);
  });
});

Deno.test("journal: a line that a crash cut short spoils no line after it", async () => {
  await inFolder(async (path) => {
    const file = openJournalFile(`${path}/j`);
    await file.append("whole");
    await Deno.writeTextFile(`${path}/j`, "\ncut sho", { append: true });
    await file.append("next");
    assert.deepEqual(await file.lines(), ["whole", "cut sho", "next"]);
  });
});

Deno.test("journal: one that cannot be written rejects, and the next one is tried again", async () => {
  await inFolder(async (path) => {
    const file = openJournalFile(`${path}/folder/j`);
    await assert.rejects(file.append("lost"), Deno.errors.NotFound);
    await Deno.mkdir(`${path}/folder`);
    await file.append("kept");
    assert.deepEqual(await file.lines(), ["kept"]);
  });
});

Deno.test("openDataDir: the journal is for its owner alone, one that was copied back too", async () => {
  await inFolder(async (path) => {
    await Deno.writeTextFile(`${path}/payouts.journal`, "\nold\n", { mode: 0o644 });
    const folder = await openDataDir(path, systemRandom);
    try {
      for (const [name, lines] of [["payouts.journal", ["old", "new"]], ["other.journal", ["new"]]] as const) {
        const file = await folder.openJournal(name);
        await file.append("new");
        assert.deepEqual(await file.lines(), lines);
        assert.equal(((await Deno.stat(`${path}/${name}`)).mode ?? 0) & 0o777, 0o600);
      }
    } finally {
      folder.release();
    }
  });
});
