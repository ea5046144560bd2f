/** Lightning addresses, `user@host` (LUD-16, https://github.com/lnurl/luds/blob/luds/16.md): how one is spelled. */

/** What a mail server takes at most before the `@`, and a name server as a whole name. */
const MAX_USER_LENGTH = 64;
const MAX_HOST_LENGTH = 253;
/** Longest text that is looked at. */
export const MAX_ADDRESS_LENGTH = MAX_USER_LENGTH + 1 + MAX_HOST_LENGTH;

/** LUD-16 allows `a-z0-9-_.`; what follows a `+` is a tag. Dots alone would be a path of another page. */
const USER = /^(?!\.+$)[a-z0-9_.-]+(?:\+[a-z0-9_.+-]*)?$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * The address in its one spelling: lower-case, the host as punycode, without blanks around it or `lightning:` before it.
 * @returns null for text that is no Lightning address.
 */
export function readLightningAddress(text: string): string | null {
  const plain = text.trim().replace(/^lightning:(\/\/)?/i, "").toLowerCase();
  if (plain.length > MAX_ADDRESS_LENGTH) return null;
  const [user = "", name = "", ...more] = plain.split("@");
  if (more.length > 0 || user.length > MAX_USER_LENGTH || !USER.test(user)) return null;
  const host = hostOf(name);
  return host === null ? null : `${user}@${host}`;
}

/** Where the address' server describes itself. @param address as {@link readLightningAddress} spells it */
export function payRequestUrl(address: string): string {
  const [user, host] = address.split("@");
  return `https://${host}/.well-known/lnurlp/${user}`;
}

/** The host name as punycode; null for what is none: a port, a path, a number. */
function hostOf(name: string): string | null {
  if (name === "" || /[\s/\\?#:@%[\]]/.test(name)) return null;
  const host = URL.parse(`https://${name}/`)?.hostname ?? "";
  const labels = host.split(".");
  const good = host.length <= MAX_HOST_LENGTH && labels.length >= 2 && labels.every((label) => LABEL.test(label)) &&
    !/^\d+$/.test(labels[labels.length - 1]!);
  return good ? host : null;
}
