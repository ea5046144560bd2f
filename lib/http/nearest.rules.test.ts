import assert from "node:assert/strict";
import { nearestName } from "./nearest.rules.ts";

const KNOWN = [
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "stop",
  "n",
  "seed",
  "user",
  "sshPublicKey",
];

for (
  const [written, meant] of [
    ["max_token", "max_tokens"],
    ["maxTokens", "max_tokens"],
    ["MAX_TOKENS", "max_tokens"],
    ["temprature", "temperature"],
    ["topP", "top_p"],
    ["stops", "stop"],
    ["seeds", "seed"],
    ["maxCompletionTokens", "max_completion_tokens"],
    ["sshPubKey", "sshPublicKey"],
    ["sshpubkey", "sshPublicKey"],
    ["ssh_public_key", "sshPublicKey"],
    ["SSHPUBLICKEY", "sshPublicKey"],
    ["colour", null],
    ["x", null],
    ["", null],
    ["best_of", null],
    ["t".repeat(1_000_000), null],
  ] as const
) {
  Deno.test(`nearestName: ${written.slice(0, 30)}: ${meant}`, () => assert.equal(nearestName(written, KNOWN), meant));
}
