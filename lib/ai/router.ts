import { isLocalModel } from "./model-name.ts";
import { type ChatInput, type EvaluateInput, type Model, ModelError, type WorkInput } from "./port.ts";

export interface ModelRouter extends Model {
  /** The adapter that would be asked; undefined for a local model when none is configured. */
  adapterFor(model: string): Model | undefined;
}

/**
 * One model port over two: names that begin with `local/` go to `local`, all others to `hosted`. `simulated` is true
 * only when no real model can be reached; a single answer's own text says whether it is simulated, and
 * {@link ModelRouter.adapterFor} tells it per model.
 */
export function createModelRouter({ local, hosted }: { local?: Model | undefined; hosted: Model }): ModelRouter {
  const adapterFor = (model: string) => isLocalModel(model) ? local : hosted;
  const chosen = (model: string): Model => {
    const adapter = adapterFor(model);
    if (adapter) return adapter;
    throw new ModelError("no local model is configured: set LOCAL_MODEL_BASE_URL, or name a hosted model", {
      kind: "not_found",
    });
  };
  return {
    name: local ? `${hosted.name}+${local.name}` : hosted.name,
    simulated: hosted.simulated && (local?.simulated ?? true),
    adapterFor,
    can: (model, ability) => adapterFor(model)?.can(model, ability) ?? false,
    // async: a missing adapter must reject, not throw
    // deno-lint-ignore require-await
    evaluate: async (input: EvaluateInput) => chosen(input.model).evaluate(input),
    // deno-lint-ignore require-await
    work: async (input: WorkInput) => chosen(input.model).work(input),
    // deno-lint-ignore require-await
    chat: async (input: ChatInput) => chosen(input.model).chat(input),
  };
}
