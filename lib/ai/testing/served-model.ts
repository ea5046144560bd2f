import type { FakeClock } from "@/tests/harness/fake-clock.ts";
import type { ModelHarness } from "../model.contract.ts";
import type { Model } from "../port.ts";
import { type ScriptedServer, scriptedTokens, type TransportStep } from "./scripted-server.ts";

/** What the servers of all protocols can play. */
type CommonStep =
  | TransportStep
  | { kind: "verdict"; accepted: boolean; reason: string }
  | { kind: "text"; text: string };

/** An adapter and the scripted server that it asks. */
export interface ServedModel {
  server: ScriptedServer & { script: { push(step: CommonStep): unknown } };
  clock: FakeClock;
  model: Model;
  modelName: string;
}

/** How tests of one adapter are registered: each gets a server of its own, which is closed behind it. */
export function servedTests<It extends ServedModel, Options>(name: string, setUp: (options?: Options) => It) {
  return (criterion: string, fn: (it: It) => Promise<void>, options?: Options): void =>
    Deno.test(`${name}: ${criterion}`, async () => {
      const it = setUp(options);
      try {
        await fn(it);
      } finally {
        await it.server.close();
      }
    });
}

/** The contract's harness of such an adapter. `busy` is its provider's answer when it has no room just now. */
export function servedHarness({ server, clock, model, modelName }: ServedModel, busy: TransportStep): ModelHarness {
  const plan = (step: CommonStep) => {
    server.script.push(step);
    return "Write a poem.";
  };
  const text = "All happy families are alike; every unhappy family is unhappy in its own way. ".repeat(4);
  return {
    clock,
    model,
    modelName,
    willAccept: () => plan({ kind: "verdict", accepted: true, reason: "A harmless poem." }),
    willRefuse: () => plan({ kind: "verdict", accepted: false, reason: "Not this." }),
    willAnswerLong: () => plan({ kind: "text", text }),
    willHang: () => plan({ kind: "hang" }),
    willFailForNow: () => plan(busy),
    willFailForGood: () => plan({ kind: "error", status: 401, type: "authentication_error" }),
    reached: async () => void await server.received(1),
    abandoned: async () => await (await server.received(1)).closedByClient,
    tokensOf: scriptedTokens,
    asked: () => server.requests.length,
    close: () => server.close(),
  };
}
