import assert from "node:assert/strict";
import { systemRandom } from "@/lib/ids.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { type DataDir, DataDirError, openDataDir } from "./data-dir.ts";

async function inFolder(body: (path: string) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir();
  try {
    await body(`${parent}/data`);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
async function withDataDir(body: (folder: DataDir) => Promise<void>): Promise<void> {
  await inFolder(async (path) => {
    const folder = await openDataDir(path, systemRandom);
    try {
      await body(folder);
    } finally {
      folder.release();
    }
  });
}
const modeOf = async (file: string) => ((await Deno.stat(file)).mode ?? 0) & 0o777;
const says = (...parts: (string | RegExp)[]) => (error: unknown) => {
  assert.ok(error instanceof DataDirError, `${error}`);
  for (const part of parts) {
    assert.ok(typeof part === "string" ? error.message.includes(part) : part.test(error.message), error.message);
  }
  return true;
};

// ---- lock ------------------------------------------------------------------------------------------------------------

Deno.test("openDataDir: a second one on the folder is refused with what to do, and has it once the first let go", async () => {
  await inFolder(async (path) => {
    const first = await openDataDir(path, systemRandom);
    await assert.rejects(openDataDir(path, systemRandom), says("already runs on", path, "DATA_DIR"));
    await assert.rejects(openDataDir(path, systemRandom), says("already runs on"));
    first.release();
    (await openDataDir(path, systemRandom)).release();
  });
});

Deno.test("openDataDir: two folders do not disturb each other", async () => {
  await withDataDir(async (one) => {
    await withDataDir(async (two) => {
      const engines = [await one.openEngine("a.kv"), await two.openEngine("a.kv")];
      for (const engine of engines) engine.close();
    });
  });
});

/** Another process on the folder: its first line, and a way to end it as by SIGKILL. */
async function otherProcess(path: string): Promise<{ line: string; kill(): Promise<void> }> {
  const script = new URL("./testing/hold-folder.ts", import.meta.url).pathname;
  const child = new Deno.Command("deno", {
    args: ["run", "--no-check", "--no-prompt", "--allow-env", "--allow-read", "--allow-write", script, path],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  return {
    line: new TextDecoder().decode(value).trim(),
    async kill() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
      await child.status;
      await reader.cancel();
    },
  };
}
const mayRun = (await Deno.permissions.query({ name: "run", command: "deno" })).state === "granted";

Deno.test({
  name: "openDataDir: another process is refused too, even after a second try of this one; a killed one leaves no lock",
  ignore: !mayRun,
  fn: () =>
    inFolder(async (path) => {
      const first = await openDataDir(path, systemRandom);
      await assert.rejects(openDataDir(path, systemRandom), DataDirError);
      const refused = await otherProcess(path);
      await refused.kill();
      assert.match(refused.line, /^refused: another Timmy already runs on/);
      first.release();

      const other = await otherProcess(path);
      try {
        assert.equal(other.line, "held");
        await assert.rejects(openDataDir(path, systemRandom), says("already runs on"));
      } finally {
        await other.kill();
      }
      (await openDataDir(path, systemRandom)).release();
    }),
});

// ---- refusals --------------------------------------------------------------------------------------------------------

Deno.test("openDataDir: refuses every variable that would put the database elsewhere, each by name, and touches nothing", async () => {
  for (const name of ["DENO_KV_DB_MODE", "DENO_KV_PATH_PREFIX", "DENO_KV_DEFAULT_PATH"]) {
    await inFolder(async (path) => {
      Deno.env.set(name, "memory");
      try {
        await assert.rejects(openDataDir(path, systemRandom), says("unset", name, path));
      } finally {
        Deno.env.delete(name);
      }
      await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
    });
  }
});

Deno.test("openDataDir: a folder that cannot be made says so, with its path", async () => {
  await inFolder(async (path) => {
    await Deno.writeTextFile(path, "a file, not a folder");
    await assert.rejects(openDataDir(path, systemRandom), says("cannot be written", path));
    await assert.rejects(openDataDir(`${path}/below`, systemRandom), says("cannot be written", path));
  });
});

Deno.test({
  name: "openDataDir: without the permission to write it names the flags that give it",
  permissions: { env: true, read: true, write: false },
  fn: async () => {
    await assert.rejects(
      openDataDir("/nowhere/timmy", systemRandom),
      says("permission", "--allow-write=/nowhere/timmy"),
    );
  },
});

// ---- secrets ---------------------------------------------------------------------------------------------------------

Deno.test("secret: is made once, stays the same over a restart, and only its owner may read it", async () => {
  await inFolder(async (path) => {
    let folder = await openDataDir(path, createSeededRandom(1));
    const key = await folder.secret("key", 32);
    assert.equal(key.length, 32);
    assert.deepEqual(await folder.secret("key", 32), key);
    assert.notDeepEqual(await folder.secret("other", 32), key);
    folder.release();
    folder = await openDataDir(path, createSeededRandom(2));
    assert.deepEqual(await folder.secret("key", 32), key);
    folder.release();
    assert.deepEqual([await modeOf(`${path}/key`), await modeOf(path)], [0o600, 0o700]);
    assert.deepEqual(await Deno.readFile(`${path}/key`), key);
    for await (const { name } of Deno.readDir(path)) assert.doesNotMatch(name, /\.new$/);
  });
});

Deno.test("secret: who asks at the same time gets the same one, and it is the one on the disk", async () => {
  await withDataDir(async (folder) => {
    const all = await Promise.all(Array.from({ length: 8 }, () => folder.secret("key", 32)));
    const stored = await Deno.readFile(`${folder.path}/key`);
    for (const one of all) assert.deepEqual(one, stored);
  });
});

Deno.test("secret: a copy that others may read, as from a backup, is closed to them", async () => {
  await withDataDir(async (folder) => {
    await Deno.writeFile(`${folder.path}/key`, new Uint8Array(32).fill(7), { mode: 0o644 });
    assert.deepEqual(await folder.secret("key", 32), new Uint8Array(32).fill(7));
    assert.equal(await modeOf(`${folder.path}/key`), 0o600);
  });
});

Deno.test("secret: one of another length is refused and not replaced; a half-written draft is no secret", async () => {
  await withDataDir(async (folder) => {
    for (const length of [0, 31, 33]) {
      await Deno.writeFile(`${folder.path}/key`, new Uint8Array(length));
      await assert.rejects(folder.secret("key", 32), says(`${length} bytes`, "expected 32", "backup"));
      assert.equal((await Deno.stat(`${folder.path}/key`)).size, length);
    }
    await Deno.writeFile(`${folder.path}/fresh.new`, new Uint8Array(3));
    assert.equal((await folder.secret("fresh", 32)).length, 32);
  });
});

// ---- the database file -----------------------------------------------------------------------------------------------

Deno.test("openEngine: the file, its log and the lock are for the owner alone, and grow with what is written", async () => {
  await withDataDir(async (folder) => {
    await Deno.chmod(folder.path, 0o755); // a folder that was there before
    const engine = await folder.openEngine("timmy.kv");
    const file = `${folder.path}/timmy.kv`;
    const size = async () => (await Deno.stat(file)).size + (await Deno.stat(`${file}-wal`)).size;
    assert.ok(await size() > 8_192);
    const before = await size();
    const value = new Uint8Array(50_000);
    assert.ok(
      await engine.commit({
        check: { key: ["a"], versionstamp: null },
        set: [{ key: ["a"], value }],
        delete: [],
        bell: false,
      }),
    );
    assert.ok(await size() >= before + 50_000);
    for await (const { name } of Deno.readDir(folder.path)) {
      assert.equal(await modeOf(`${folder.path}/${name}`), 0o600, name);
    }
    engine.close();
    const again = await folder.openEngine("timmy.kv");
    assert.equal((await again.get([["a"]]))[0]?.value.length, 50_000);
    again.close();
  });
});

Deno.test("openEngine: a database that is not the file is noticed, whether the file is new or was there", async () => {
  await withDataDir(async (folder) => {
    (await folder.openEngine("old.kv")).close();
    Deno.env.set("DENO_KV_DB_MODE", "memory"); // set behind our back: what the file's growth must show
    try {
      await assert.rejects(folder.openEngine("new.kv"), says("did not grow", "not on this disk"));
      await assert.rejects(folder.openEngine("old.kv"), says("did not grow", "not on this disk"));
    } finally {
      Deno.env.delete("DENO_KV_DB_MODE");
    }
  });
});

Deno.test("openEngine: a file that is no database is refused with its path and stays as it is", async () => {
  await withDataDir(async (folder) => {
    const file = `${folder.path}/timmy.kv`;
    await Deno.writeTextFile(file, "no database at all, but something a person wrote ".repeat(200));
    await assert.rejects(folder.openEngine("timmy.kv"), says(file, "backup"));
    assert.match(await Deno.readTextFile(file), /^no database at all/);
  });
});

const mayAsk = (await Deno.permissions.query({ name: "sys", kind: "statfs" })).state === "granted";

Deno.test({
  name: "freeBytes: tells what the disk has left, and null where it cannot tell",
  ignore: !mayAsk,
  fn: () =>
    inFolder(async (path) => {
      const folder = await openDataDir(path, systemRandom);
      const free = await folder.freeBytes();
      assert.ok(free !== null && free > 0 && Number.isSafeInteger(free));
      folder.release();
      await Deno.remove(path, { recursive: true });
      assert.equal(await folder.freeBytes(), null);
    }),
});
