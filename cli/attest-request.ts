/** One GET whose answer and TLS key come from the same connection: fetch does not tell whose key it spoke to. */
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { TLSSocket } from "node:tls";

export type Got =
  | { ok: true; body: unknown; tlsKeyHash: string | null }
  /** The message is for people, without anything the other side sent. */
  | { ok: false; message: string };

const DEADLINE_MS = 15_000;
const MAX_BYTES = 1_048_576;

/**
 * Redirects are not followed: the attested instance is the one that was named.
 * @param options.ca PEM of a root to trust in place of the system's
 */
export function getOverOneConnection(url: URL, options: { ca?: string; deadlineMs?: number } = {}): Promise<Got> {
  const { promise, resolve } = Promise.withResolvers<Got>();
  const fail = (message: string) => resolve({ ok: false, message });
  const { request, Agent } = url.protocol === "https:" ? https : http;
  const asked = request(url, {
    agent: new Agent({ keepAlive: false }),
    headers: { accept: "application/json", connection: "close" },
    ...(options.ca && { ca: options.ca }),
  });
  const timer = setTimeout(() => {
    fail("the instance did not answer in time");
    asked.destroy();
  }, options.deadlineMs ?? DEADLINE_MS);
  promise.finally(() => clearTimeout(timer));
  asked.on("error", (error: Error) => fail(`the instance cannot be reached: ${error.message}`));
  asked.on("response", (response) => {
    const tlsKeyHash = url.protocol === "https:" ? keyHashOf(response.socket as TLSSocket) : null;
    const pieces: Buffer[] = [];
    let length = 0;
    response.on("data", (piece: Buffer) => {
      length += piece.length;
      if (length <= MAX_BYTES) return void pieces.push(piece);
      fail("the answer is too large");
      asked.destroy();
    });
    response.on("error", (error: Error) => fail(`the answer broke off: ${error.message}`));
    response.on("end", () => {
      if (response.statusCode !== 200) return fail(`the instance answered ${response.statusCode}`);
      try {
        resolve({ ok: true, body: JSON.parse(Buffer.concat(pieces).toString()), tlsKeyHash });
      } catch {
        fail("the answer is not JSON");
      }
    });
  });
  asked.end();
  return promise;
}

/** SHA-256 of the SubjectPublicKeyInfo of the peer's key, in hex; null on a Deno that does not tell it (2.6). */
function keyHashOf(socket: Partial<TLSSocket>): string | null {
  if (typeof socket.getPeerCertificate !== "function") return null;
  const { publicKey } = new X509Certificate(socket.getPeerCertificate().raw);
  return createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("hex");
}
