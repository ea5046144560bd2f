/** Secrets in the store: readable only with a key that is kept outside it (docs/spec/bootstrap.md §2). */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import type { Random } from "@/lib/ids.ts";
import { fromStrictBase64, toBase64 } from "./ssh-wire.ts";

/** A sealed text that cannot be opened: another key, another `about`, or changed on the way. Which one, the cipher cannot tell. */
export class SealedError extends Error {
  override name = "SealedError";
  constructor() {
    super("this sealed text does not open: it was sealed under another key or for another record, or it was changed");
  }
}

export interface Sealer {
  /**
   * @param text at most {@link MAX_TEXT_CHARS} characters
   * @param about what the text belongs to, like `bootstrap:<handle>:ssh-key`. It is not hidden, but a sealed text that was moved to
   *   another record does not open there.
   * @throws {RangeError} for half of a surrogate pair in either, which would come back as another character, or a text too long
   */
  seal(text: string, about: string): string;
  /** The text. @throws {SealedError} */
  open(sealed: string, about: string): string;
}

/** Begins every sealed text, so that another cipher can follow without guessing what an old record holds. */
const VERSION = "timmy-sealed-v1";
const NONCE_BYTES = 24;
const MAX_TEXT_CHARS = 16_384;

/**
 * XChaCha20-Poly1305 with a random nonce for each text: 192 bits, so that no two are ever the same.
 * @param key 32 bytes, from the instance's key file
 * @throws {RangeError} when the key has another length
 */
export function createSealer(key: Uint8Array, random: Random): Sealer {
  if (key.length !== 32) throw new RangeError("the key that seals secrets has 32 bytes");
  const secret = key.slice();
  const cipher = (nonce: Uint8Array, about: string) =>
    xchacha20poly1305(secret, nonce, new TextEncoder().encode(`${VERSION}:${whole(about)}`));
  return {
    seal(text, about) {
      if (text.length > MAX_TEXT_CHARS) throw new RangeError(`at most ${MAX_TEXT_CHARS} characters are sealed at once`);
      const nonce = random.bytes(NONCE_BYTES);
      const encrypted = cipher(nonce, about).encrypt(new TextEncoder().encode(whole(text)));
      return `${VERSION}:${toBase64(nonce)}:${toBase64(encrypted)}`;
    },
    open(sealed, about) {
      const [version, nonce, encrypted, ...rest] = sealed.split(":");
      const nonceBytes = fromStrictBase64(nonce ?? "");
      const encryptedBytes = fromStrictBase64(encrypted ?? "");
      const shaped = version === VERSION && nonceBytes && encryptedBytes && rest.length === 0;
      if (!shaped) throw new SealedError();
      try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
          .decode(cipher(nonceBytes, about).decrypt(encryptedBytes));
      } catch {
        throw new SealedError();
      }
    },
  };
}

function whole(text: string): string {
  if (!text.isWellFormed()) throw new RangeError("a text to seal, or what it is about, holds half of a character");
  return text;
}
