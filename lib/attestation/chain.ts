import { equalBytes } from "@noble/curves/utils.js";
import type { CheckSignature } from "./signatures.ts";
import { type Findings, iso } from "./verdict.ts";
import type { Certificate, RevocationList } from "./x509.ts";

/** What every check of a chain needs. */
export interface Trust {
  /** Ms since the epoch. */
  at: number;
  check: CheckSignature;
}

const KEY_OF = { "p256-sha256": "p256", "p384-sha384": "p384", "rsa-pss-sha384": "rsa" } as const;

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && equalBytes(a, b);

/** Whether `issuer` signed this. */
export async function signedBy(
  object: Pick<Certificate, "scheme" | "signature" | "signed">,
  issuer: Certificate,
  check: CheckSignature,
): Promise<boolean> {
  if (KEY_OF[object.scheme] !== issuer.key.kind) return false;
  return await check(object.scheme, issuer.key.bytes, object.signature, object.signed);
}

/**
 * A path from a leaf to a pinned root (RFC 5280 §6, without policies and name constraints, which no vendor uses).
 * @param chain leaf first, root last
 * @param roots pinned certificates: the last one must be one of them, byte for byte
 */
export async function checkChain(
  chain: readonly Certificate[],
  roots: readonly Uint8Array[],
  trust: Trust,
  to: Findings,
): Promise<void> {
  const root = chain.at(-1);
  const pinned = root !== undefined && roots.some((bytes) => sameBytes(bytes, root.bytes));
  to.demand(pinned, "chain_root", `the chain ends at ${root?.name ?? "nothing"}, which is not a pinned root`);
  for (const [i, certificate] of chain.entries()) {
    const { name, notBefore, notAfter } = certificate;
    const label = name || "an unnamed certificate";
    const valid = notBefore <= trust.at && trust.at <= notAfter;
    to.demand(valid, "time", `${label} is good from ${iso(notBefore)} to ${iso(notAfter)}`);
    const issuer = chain[i + 1];
    if (!issuer) continue;
    to.demand(sameBytes(certificate.issuer, issuer.subject), "chain_form", `${label} names another issuer`);
    to.demand(issuer.ca && issuer.signsCertificates, "chain_form", `${issuer.name} may not sign certificates`);
    // i certificates stand between this issuer and the leaf.
    to.demand((issuer.pathLength ?? i) >= i, "chain_form", `the chain below ${issuer.name} is too long`);
    const signed = await signedBy(certificate, issuer, trust.check);
    to.demand(signed, "chain_signature", `${label} is not signed by ${issuer.name}`);
  }
  to.demand(chain[0]?.ca === false, "chain_form", "the leaf may sign certificates itself");
}

/** A revocation list is `issuer`'s, of now, and does not have these certificates. */
export async function checkRevocation(
  list: RevocationList,
  issuer: Certificate,
  certificates: readonly Certificate[],
  trust: Trust,
  to: Findings,
): Promise<void> {
  const label = `revocation list of ${issuer.name}`;
  to.material(label, list.thisUpdate, list.nextUpdate);
  const own = sameBytes(list.issuer, issuer.subject) && issuer.signsLists;
  to.demand(own, "collateral_mismatch", `the ${label} is another issuer's, or one who may not make it`);
  to.demand(await signedBy(list, issuer, trust.check), "collateral_signature", `the ${label} is not signed by it`);
  const valid = list.thisUpdate <= trust.at && trust.at <= list.nextUpdate;
  to.demand(valid, "time", `the ${label} is good from ${iso(list.thisUpdate)} to ${iso(list.nextUpdate)}`);
  for (const certificate of certificates) {
    if (!sameBytes(certificate.issuer, list.issuer)) continue;
    to.demand(!list.revoked.has(certificate.serial), "revoked", `${certificate.name} was revoked by ${issuer.name}`);
  }
}
