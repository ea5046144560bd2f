/**
 * The public SSH keys that people send (docs/spec/bootstrap.md §2): one line as it stands in `id_….pub`. Only what OpenSSH's own server
 * takes and what is strong enough is let through, because a node that starts with a key its owner cannot use is lost to him.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { fromStrictBase64, readSsh, SshFormatError, type SshReader, toBase64 } from "./ssh-wire.ts";

export type SshPublicKey = {
  ok: true;
  type: SshKeyType;
  /** `type base64`, without a comment: what `authorized_keys` and a cloud's key list take. */
  key: string;
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  fingerprint: string;
} | {
  ok: false;
  /** What to do, for whoever sent it. Never holds any of what was sent: that may be a private key. */
  message: string;
};

const MAX_CHARS = 16_384;
const RSA_MIN_BITS = 3072;
/** OpenSSH reads no larger number. */
const RSA_MAX_BITS = 16_384;
/** Forged signatures are known for 3 where padding is checked badly; 35 and 37 stand in keys of older tools. */
const RSA_MIN_EXPONENT = 17n;
/** OpenSSL takes no longer exponent with a modulus of this size. */
const RSA_MAX_EXPONENT_BYTES = 8;

const CURVES = {
  nistp256: { point: p256.Point, bytes: 65 },
  nistp384: { point: p384.Point, bytes: 97 },
  nistp521: { point: p521.Point, bytes: 133 },
} as const;

/** For each type: reads what follows the type's name in the blob, and throws {@link SshFormatError} when that is no such key. */
const READERS = {
  "ssh-ed25519": readEd25519,
  "ssh-rsa": readRsa,
  "ecdsa-sha2-nistp256": (blob: SshReader) => readEcdsa(blob, "nistp256"),
  "ecdsa-sha2-nistp384": (blob: SshReader) => readEcdsa(blob, "nistp384"),
  "ecdsa-sha2-nistp521": (blob: SshReader) => readEcdsa(blob, "nistp521"),
  "sk-ssh-ed25519@openssh.com": (blob: SshReader) => readOnSecurityKey(blob, readEd25519),
  "sk-ecdsa-sha2-nistp256@openssh.com": (blob: SshReader) =>
    readOnSecurityKey(blob, (blob) => readEcdsa(blob, "nistp256")),
} as const;

export type SshKeyType = keyof typeof READERS;

const isKeyType = (word: string): word is SshKeyType => Object.hasOwn(READERS, word);
const ACCEPTED = Object.keys(READERS).join(", ");

/** The first or last line of a private key in PEM, PuTTY's files, and the start of OpenSSH's private keys without a header. */
const PRIVATE = /BEGIN .{0,30}PRIVATE KEY|PRIVATE KEY-----|PuTTY-User-Key-File|b3BlbnNzaC1rZXktdj/;
/** Control characters but the tab, and what breaks a line in Unicode. */
// deno-lint-ignore no-control-regex -- these are what it looks for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]/;

/**
 * Reads one public key in OpenSSH's format. White space around it is allowed, for files end with a line end; a comment is
 * dropped, options before the key are refused.
 * @returns never throws for anything that was sent.
 */
export function parseSshPublicKey(text: string): SshPublicKey {
  const line = text.trim();
  const fault = lineFault(text, line);
  if (fault !== null) return refuse(fault);

  const [type = "", base64 = "", ...comment] = line.split(/[ \t]+/);
  if (!isKeyType(type)) return refuse(typeFault(type, line));
  if (comment.some(isKeyType)) return refuse("Send one SSH public key only: a second one follows on the same line.");
  const blob = fromStrictBase64(base64);
  if (blob === null) return refuse(`The part after ${type} is not base64. Copy the whole line of your .pub file.`);

  try {
    const reader = readSsh(blob);
    if (reader.name() !== type) return refuse(`The key does not hold what ${type} announces. Copy the line again.`);
    READERS[type](reader);
    reader.end();
  } catch (error) {
    if (!(error instanceof SshFormatError)) throw error;
    return refuse(`This is not a usable ${type} key: ${error.message}.`);
  }
  return { ok: true, type, key: `${type} ${base64}`, fingerprint: fingerprintOf(blob) };
}

/** `SHA256:` and the hash of a key's blob in base64 without padding. */
const fingerprintOf = (blob: Uint8Array) => `SHA256:${toBase64(sha256(blob)).replace(/=+$/, "")}`;

const refuse = (message: string): SshPublicKey => ({ ok: false, message });

/** What is wrong with the text before any key is looked for in it. A private key is named first: that matters most. */
function lineFault(text: string, line: string): string | null {
  if (PRIVATE.test(text)) {
    return "This is a PRIVATE key. Do not send it to anybody: make a new pair (ssh-keygen -t ed25519), stop using this one, " +
      "and send the one line of the new .pub file.";
  }
  if (text.length > MAX_CHARS) return `An SSH public key has at most ${MAX_CHARS} characters.`;
  if (line === "") return "The SSH public key is empty. Send the one line of your .pub file.";
  if (/BEGIN .*PUBLIC KEY/.test(line)) {
    return "This public key is not in OpenSSH's format. Convert it: ssh-keygen -i -f FILE (with -m PKCS8 for a PEM file).";
  }
  if (CONTROL.test(line)) {
    return "Send one SSH public key on one line, without line breaks or control characters in it.";
  }
  return null;
}

function typeFault(type: string, line: string): string {
  if (/-cert-v\d+@openssh\.com$/.test(type)) {
    return "This is an SSH certificate. Send the public key itself (the .pub file without -cert).";
  }
  if (type === "ssh-dss") return "DSA keys (ssh-dss) are too weak. Make a new one: ssh-keygen -t ed25519.";
  if (line.split(/[ \t]+/).some(isKeyType)) {
    return "Send the public key without anything before it: options as in authorized_keys are not taken.";
  }
  if (!/^[\x21-\x7e]+$/.test(type)) {
    return "The key's type is written with characters that are not plain ASCII. Copy it again.";
  }
  return `An SSH public key begins with its type, one of: ${ACCEPTED}. Send the one line of your .pub file.`;
}

function readEd25519(blob: SshReader): void {
  const key = blob.string();
  if (key.length !== 32) throw new SshFormatError("it does not have 32 bytes");
  // Everybody can sign for a point of small order.
  if (ed25519Point(key)?.isSmallOrder() ?? true) {
    throw new SshFormatError("it is no point of its curve that a key can be");
  }
}

function ed25519Point(key: Uint8Array) {
  try {
    return ed25519.Point.fromBytes(key);
  } catch {
    return null;
  }
}

function readEcdsa(blob: SshReader, curve: keyof typeof CURVES): void {
  if (blob.name() !== curve) throw new SshFormatError("it names another curve");
  const key = blob.string();
  const { point, bytes } = CURVES[curve];
  if (key.length !== bytes || key[0] !== 4) throw new SshFormatError("it is no uncompressed point");
  try {
    point.fromBytes(key);
  } catch {
    throw new SshFormatError("its point is not on its curve");
  }
}

function readRsa(blob: SshReader): void {
  const exponent = blob.positive();
  const modulus = blob.positive();
  const bits = modulus.length * 8 - Math.clz32(modulus[0]!) + 24;
  if (bits < RSA_MIN_BITS) {
    throw new SshFormatError(`it has ${bits} bits, and ${RSA_MIN_BITS} are the least; an ed25519 key is the simplest`);
  }
  if (bits > RSA_MAX_BITS) throw new SshFormatError(`it has ${bits} bits, and ${RSA_MAX_BITS} are the most`);
  if (modulus.at(-1)! % 2 === 0) throw new SshFormatError("its modulus is even");
  if (exponent.length > RSA_MAX_EXPONENT_BYTES) throw new SshFormatError("its exponent is too large");
  if (exponent.at(-1)! % 2 === 0 || numberOf(exponent) < RSA_MIN_EXPONENT) {
    throw new SshFormatError(`its exponent is even or below ${RSA_MIN_EXPONENT}`);
  }
}

const numberOf = (bytes: Uint8Array) => bytes.reduce((number, byte) => number * 256n + BigInt(byte), 0n);

/** A key on a FIDO device (PROTOCOL.u2f): the key it is made of, then the application it is for, mostly `ssh:`. */
function readOnSecurityKey(blob: SshReader, readKey: (blob: SshReader) => void): void {
  readKey(blob);
  if (blob.name() === "") throw new SshFormatError("it names no application");
}
