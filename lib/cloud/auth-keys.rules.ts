import type { AuthKeyOrder } from "./tailnet.ts";

const DAY_SECONDS = 86_400;
const MAX_DAYS = 90;

/** Why no tailnet would make this key, or null. */
export function objectionToKey({ description, tags, expirySeconds }: AuthKeyOrder): string | null {
  if (!/^[A-Za-z0-9 -]{1,50}$/.test(description)) {
    return "a key's description has 1 to 50 letters, digits, blanks and hyphens";
  }
  if (tags.length === 0 || !tags.every((tag) => /^tag:[a-zA-Z][a-zA-Z0-9-]*$/.test(tag))) {
    return "a key needs tags of the form tag:name";
  }
  const fits = Number.isInteger(expirySeconds) && expirySeconds >= 60 && expirySeconds <= MAX_DAYS * DAY_SECONDS;
  return fits ? null : `a key is good for 60 seconds to ${MAX_DAYS} days`;
}
