import assert from "node:assert/strict";
import { checkCompiledPlace, COMPILED_FOLDERS } from "./place.ts";

Deno.test("place: the compiled server may write below three folders, however they are spelt", async () => {
  const permissions = await Deno.readTextFile(new URL("../../scripts/permissions.sh", import.meta.url));
  assert.equal(/^TIMMY_FOLDERS=(.*)$/m.exec(permissions)?.[1], COMPILED_FOLDERS.join(","));
  const may = (dataDir: string, cwd = "/home/me") => checkCompiledPlace(dataDir, cwd).length === 0;
  for (
    const good of [
      "./data",
      "data",
      "./data/",
      "data/a",
      "/home/me/data",
      "/data",
      "/data/x",
      "/var/lib/timmy/b",
      "x/../data",
    ]
  ) {
    assert.ok(may(good), good);
  }
  for (const bad of [".", "/", "./data2", "/home/me", "data/../x", "/database", "/var/lib/timmy2", "/var/lib"]) {
    assert.ok(!may(bad), bad);
  }
  assert.ok(may("data", "/") && may("/data", "/home/a b"));
});
