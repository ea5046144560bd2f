/** What a model's name begins with when it is asked locally (economy.md §3). */
export const LOCAL_PREFIX = "local/";

/** True for `local/<id>`, whichever adapter is configured. */
export function isLocalModel(model: string): boolean {
  return model.startsWith(LOCAL_PREFIX);
}
