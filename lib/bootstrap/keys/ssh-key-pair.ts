/** An SSH key pair for who has none (docs/spec/bootstrap.md §2). */
import { sha256 } from "@noble/hashes/sha2.js";
import { getKeys } from "micro-key-producer/ssh.js";

export interface SshKeyPair {
  /** `ssh-ed25519 base64 comment`. */
  publicKey: string;
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  fingerprint: string;
  /** OpenSSH's own format, without a passphrase, with a line end behind it, which `ssh` wants. A secret. */
  privateKey: string;
}

/** The four bytes a reader compares with each other to see whether a passphrase was right; which ones they are means nothing. */
const CHECK_BYTES = 4;

/**
 * The Ed25519 pair of `seed`: the same each time, so that a step that runs again after a crash makes no second key.
 * @param seed 32 bytes nobody can guess
 * @param comment printable ASCII without spaces, at most 64 characters: what `ssh-add -l` shows
 * @throws {RangeError} when the seed has another length, or the comment other characters. The seed is not in the message.
 */
export function newSshKeyPair(seed: Uint8Array, comment: string): SshKeyPair {
  if (seed.length !== 32) throw new RangeError("the seed of an SSH key has 32 bytes");
  if (!/^[\x21-\x7e]{1,64}$/.test(comment)) throw new RangeError("an SSH key's comment is 1 to 64 ASCII characters");
  const { publicKey, fingerprint, privateKey } = getKeys(seed, comment, sha256(seed).subarray(0, CHECK_BYTES));
  // The library leaves a blank line behind the header, which OpenSSH skips and other readers of this format need not.
  return { publicKey, fingerprint, privateKey: privateKey.replace("\n\n", "\n") };
}
