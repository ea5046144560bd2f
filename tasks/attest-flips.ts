// deno-lint-ignore-file no-console -- a command prints
/**
 * Turns over every bit of the evidence of real machines, signed parts and framing, and asks the verifier: all must be refused.
 *
 *   deno task attest:flips [--only WORD] [--part 0.1] [--seed 1]
 */
import { parseArgs } from "node:util";
import { flip, regions } from "@/lib/attestation/testing/flips.ts";

const { values } = parseArgs({
  options: { only: { type: "string" }, part: { type: "string", default: "1" }, seed: { type: "string", default: "1" } },
});
let [tried, refused, ms] = [0, 0, 0];
console.log("| region | bits | tried | refused | seconds |\n| --- | --- | --- | --- | --- |");
for (const region of regions().filter(({ name }) => name.includes(values.only ?? ""))) {
  const result = await flip(region, Number(values.part), Number(values.seed));
  tried += result.tried;
  refused += result.refused;
  ms += result.ms;
  const row = [result.name, result.bits, result.tried, result.refused, (result.ms / 1_000).toFixed(1)];
  console.log(`| ${row.join(" | ")} |${result.accepted.length > 0 ? ` accepted: ${result.accepted.join(", ")}` : ""}`);
}
console.log(`${refused} of ${tried} refused in ${(ms / 1_000).toFixed(0)} s`);
Deno.exit(refused === tried ? 0 : 1);
