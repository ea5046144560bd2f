/** The imaginary node on a simulated machine: it reads its user data and reports its first boot, with a real signature. */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { getKeys, PublicKey, SSHBuf, SSHString } from "micro-key-producer/ssh.js";
import type { Random } from "@/lib/ids.ts";

/** A report as a node sends it: `POST url` with `Authorization: Bearer token` and `X-Timmy-Signature: signature`. */
export interface FirstBootReport {
  url: string;
  token: string;
  /** The exact bytes that are signed, as text. */
  body: string;
  /** Base64 of the SSHSIG over the body, as `ssh-keygen -Y sign -n timmy-first-boot` makes it (without its armor). */
  signature: string;
}

/** Where a node is told to report, the token sealed: a copy of the store must not open anything. */
export interface ReportTarget {
  url: string;
  sealedToken: string;
  hasTailscale: boolean;
}

export interface SimulatedNodes {
  /** What the user data says about reporting; null when it says nothing. */
  targetOf(userData: string): ReportTarget | null;
  /** A new report, signed now. A node's keys follow from its machine's id and the seed, and are stored nowhere. */
  report(machine: { id: string; name: string }, target: ReportTarget, at: number): FirstBootReport;
}

const NAMESPACE = "timmy-first-boot";
const NONCE_BYTES = 24;

/** @param seed 32 secret bytes, the same at every start. */
export function createSimulatedNodes(seed: Uint8Array, random: Random): SimulatedNodes {
  const derive = (what: string) => hmac(sha256, seed, utf8ToBytes(what));
  const sealingKey = derive("report-token");

  function seal(text: string): string {
    const nonce = random.bytes(NONCE_BYTES);
    return bytesToHex(concatBytes(nonce, xchacha20poly1305(sealingKey, nonce).encrypt(utf8ToBytes(text))));
  }
  function open(sealed: string): string {
    const bytes = hexToBytes(sealed);
    const cipher = xchacha20poly1305(sealingKey, bytes.subarray(0, NONCE_BYTES));
    return new TextDecoder().decode(cipher.decrypt(bytes.subarray(NONCE_BYTES)));
  }

  return {
    targetOf(userData) {
      const url = /TIMMY_REPORT_URL='([^'\s]+)'/.exec(userData)?.[1];
      const token = /TIMMY_REPORT_TOKEN='([^'\s]+)'/.exec(userData)?.[1];
      if (url === undefined || token === undefined) return null;
      return { url, sealedToken: seal(token), hasTailscale: /tskey-[\w-]{8,}/.test(userData) };
    },
    report({ id, name }, { url, sealedToken, hasTailscale }, at) {
      const nodeSecret = derive(`node ${id}`);
      const body = JSON.stringify({
        at,
        sshHostKeys: [getKeys(derive(`host ${id}`)).publicKey.trim()],
        nodeKey: getKeys(nodeSecret).publicKey.trim(),
        tailscaleHostname: hasTailscale ? name : null,
        lnbitsUrl: `http://${hasTailscale ? name : "127.0.0.1"}:5000`,
        services: { bitcoin: "simulated", lnd: "simulated", lnbits: "simulated" },
      });
      return { url, token: open(sealedToken), body, signature: sshSignature(nodeSecret, body) };
    },
  };
}

/** SSHSIG (OpenSSH's PROTOCOL.sshsig) by an Ed25519 key over SHA-512 of the message, as base64. */
function sshSignature(secret: Uint8Array, message: string): string {
  const header = concatBytes(SSHString.encode(NAMESPACE), SSHString.encode(""), SSHString.encode("sha512"));
  const signed = concatBytes(utf8ToBytes("SSHSIG"), header, SSHBuf.encode(sha512(utf8ToBytes(message))));
  const signature = concatBytes(SSHString.encode("ssh-ed25519"), SSHBuf.encode(ed25519.sign(signed, secret)));
  const blob = concatBytes(
    utf8ToBytes("SSHSIG"),
    Uint8Array.of(0, 0, 0, 1),
    SSHBuf.encode(PublicKey.encode({ pubKey: getKeys(secret).publicKeyBytes })),
    header,
    SSHBuf.encode(signature),
  );
  return btoa(String.fromCharCode(...blob));
}
