import assert from "node:assert/strict";
import { unusedPackages } from "./unused-packages.ts";

const found = (name: string, version: string, dependencies: string[] = []) => ({ name, version, dependencies });

Deno.test("unusedPackages: what no module asks for, itself or through another, and nothing whose folder is used", () => {
  const info = {
    modules: [{ npmPackage: "a@1" }, {}],
    npmPackages: {
      "a@1": found("a", "1", ["b@1"]),
      "b@1": found("b", "1"),
      "b@1_peer@2": found("b", "1", ["peer@2"]),
      "b@2": found("b", "2"),
      "peer@2": found("peer", "2"),
    },
  };
  assert.deepEqual(unusedPackages(info).map(({ name, version }) => `${name}@${version}`), ["b@2", "peer@2"]);
});
