import type { Clock } from "@/lib/clock.ts";
import { hashOfProgram } from "./build-hash.ts";
import { createHelper } from "./helper.ts";
import type { Attestor } from "./port.ts";

/** @param options.socket `ATTESTATION_SOCKET`; undefined: this machine is no TEE, and says so. */
export function createAttestor(options: { socket: string | undefined; clock: Clock }): Attestor {
  const { socket, clock } = options;
  let hash: Promise<string> | null = null;
  return {
    // Not at the start, which it would make longer by a quarter of a second, and once: the file does not change while it runs.
    buildHash: () => hash ??= hashOfProgram(),
    tlsKeyHash: null,
    quote: socket === undefined ? () => Promise.resolve(null) : createHelper({ socket, clock }),
  };
}
