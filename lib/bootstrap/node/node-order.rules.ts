/** What may be ordered of a node, and the environment file that carries it to the node's scripts. */
import type { NodeImages } from "./pins.ts";

export interface NodeOrder {
  /** The host's name: lowercase letters, digits and hyphens, at most 63. */
  name: string;
  /** One line as in `authorized_keys`, without options. */
  sshPublicKey: string;
  tailscaleAuthKey: string | null;
  /** The DigitalOcean volume that holds the node's data; null: the machine's own disk does. */
  volumeName: string | null;
  /** GB (10^9 bytes) of the disk or volume that holds the data. */
  diskGb: number;
  implementation: "core" | "knots";
  /** Where the node tells that it has booted, and the one-time token it shows there. */
  report: { url: string; token: string };
  images: NodeImages;
}

/** Chain state, LND, images and the system, with room to grow. */
const OTHER_GB = 40;
const MIN_DISK_GB = 60;
/** From here on all blocks are kept: about 800 GB at the end of 2026, 90 more each year. */
const WHOLE_CHAIN_GB = 1_200;

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SSH_KEY =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]{40,}={0,3}(?= |$)/;
const VISIBLE_ASCII = /^[\x21-\x7e]{1,256}$/;
const TOKEN = /^[A-Za-z0-9_-]{22,128}$/;
const IMAGE = /^[a-z0-9][a-z0-9._/:-]{0,200}@sha256:[0-9a-f]{64}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * The value of bitcoind's `prune` for a disk.
 * @returns MiB of blocks to keep; 0 keeps all
 * @throws {RangeError} when the disk is too small for a node
 */
export function pruneMib(diskGb: number): number {
  if (!Number.isSafeInteger(diskGb) || diskGb < MIN_DISK_GB) {
    throw new RangeError(`a node's disk has at least ${MIN_DISK_GB} GB, not ${diskGb}`);
  }
  return diskGb >= WHOLE_CHAIN_GB ? 0 : Math.floor((diskGb - OTHER_GB) * 1e9 / 2 ** 20);
}

/**
 * The order's SSH key as `type base64`, without its comment.
 * @throws {RangeError} when it is not one public key line
 */
export function authorizedKey(sshPublicKey: string): string {
  const key = /[\p{Cc}\p{Zl}\p{Zp}]/u.test(sshPublicKey) ? undefined : SSH_KEY.exec(sshPublicKey)?.[0];
  return key ?? refuse("sshPublicKey", "one line: its type, its base64, and a comment at most");
}

/**
 * The environment file: the only place where the order's values meet the shell. Each stands in single quotes, in which the shell reads
 * nothing but the end of them.
 * @throws {RangeError} naming the field that is not of its form
 */
export function nodeEnv(order: NodeOrder): string {
  const { bitcoin, lnd, lnbits } = order.images;
  const values: Record<string, string> = {
    TIMMY_NODE_NAME: matching(order.name, LABEL, "name", "lowercase letters, digits and hyphens, at most 63"),
    TIMMY_REPORT_URL: webAddress(order.report.url, "report.url"),
    TIMMY_REPORT_TOKEN: matching(order.report.token, TOKEN, "report.token", "22 to 128 URL-safe characters"),
    TIMMY_TAILSCALE_AUTH_KEY: optional(order.tailscaleAuthKey, VISIBLE_ASCII, "tailscaleAuthKey", "visible ASCII"),
    TIMMY_VOLUME_NAME: optional(order.volumeName, LABEL, "volumeName", "lowercase letters, digits and hyphens"),
    TIMMY_PRUNE_MIB: String(pruneMib(order.diskGb)),
    TIMMY_BITCOIN_URL_X86_64: webAddress(bitcoin.x86_64.url, "images.bitcoin.x86_64.url"),
    TIMMY_BITCOIN_SHA256_X86_64: checksum(bitcoin.x86_64.sha256, "images.bitcoin.x86_64.sha256"),
    TIMMY_BITCOIN_URL_AARCH64: webAddress(bitcoin.aarch64.url, "images.bitcoin.aarch64.url"),
    TIMMY_BITCOIN_SHA256_AARCH64: checksum(bitcoin.aarch64.sha256, "images.bitcoin.aarch64.sha256"),
    TIMMY_LND_IMAGE: matching(lnd, IMAGE, "images.lnd", "name:tag@sha256:digest"),
    TIMMY_LNBITS_IMAGE: matching(lnbits, IMAGE, "images.lnbits", "name:tag@sha256:digest"),
  };
  return Object.entries(values).map(([name, value]) => `${name}=${quoted(value)}\n`).join("");
}

const quoted = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`;

const checksum = (value: string, field: string) => matching(value, SHA256, field, "64 lowercase hex digits");

const optional = (value: string | null, form: RegExp, field: string, words: string) =>
  value === null ? "" : matching(value, form, field, words);

function matching(value: string, form: RegExp, field: string, words: string): string {
  // Without the second half, `$` would let one newline stand at the end.
  return form.test(value) && !value.includes("\n") ? value : refuse(field, words);
}

/** An http(s) address as URL writes it: what is not ASCII, and every space and quotation mark that is not `'`, is percent-encoded. */
function webAddress(value: string, field: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && VISIBLE_ASCII.test(url.href);
  return plain ? url.href : refuse(field, "an http(s) address without user and password, at most 256 characters");
}

/** The value itself is not repeated: it may be a secret. */
function refuse(field: string, words: string): never {
  throw new RangeError(`${field} must be ${words}`);
}
