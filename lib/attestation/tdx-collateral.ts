/** What Intel publishes about its processors (PCS API v4): TCB info, identity of the quoting enclave, lists of revoked certificates. */
import { hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import { checkChain, checkRevocation, sameBytes, type Trust } from "./chain.ts";
import { certificatesOf } from "./pem.ts";
import { TCB_STATUSES } from "./policy.ts";
import { type Findings, iso, Refused } from "./verdict.ts";
import type { VendorRoots } from "./vendor-roots.ts";
import { type Certificate, parseCertificate, parseRevocationList } from "./x509.ts";

const hex = z.string().regex(/^([0-9a-fA-F]{2})*$/);
const bytes = hex.transform((text) => hexToBytes(text));
/** Outside of what is signed there is one spelling. */
const exactBytes = z.string().regex(/^([0-9a-f]{2})*$/).transform((text) => hexToBytes(text));
const time = z.iso.datetime().transform((text) => Date.parse(text));
const svn = z.int().min(0).max(65_535);
const status = z.enum(TCB_STATUSES);
const enclaveLevels = z.array(z.object({ tcb: z.object({ isvsvn: svn }), tcbStatus: status }));
const components = z.array(z.object({ svn })).length(16);

/** The texts as Intel signed them: a signature is over the very characters. */
const collateralSchema = z.strictObject({
  pck_crl_issuer_chain: z.string(),
  root_ca_crl: exactBytes,
  pck_crl: exactBytes,
  tcb_info_issuer_chain: z.string(),
  tcb_info: z.string(),
  tcb_info_signature: exactBytes,
  qe_identity_issuer_chain: z.string(),
  qe_identity: z.string(),
  qe_identity_signature: exactBytes,
});

const dated = { issueDate: time, nextUpdate: time };
const moduleSchema = z.object({ mrsigner: bytes, attributes: bytes, attributesMask: bytes });
const tcbInfoSchema = z.object({
  ...dated,
  id: z.literal("TDX"),
  version: z.literal(3),
  fmspc: hex,
  pceId: hex,
  tdxModule: moduleSchema,
  tdxModuleIdentities: z.array(moduleSchema.extend({ id: z.string(), tcbLevels: enclaveLevels })).default([]),
  tcbLevels: z.array(z.object({
    tcb: z.object({ sgxtcbcomponents: components, tdxtcbcomponents: components, pcesvn: svn }),
    tcbStatus: status,
  })),
});
const qeIdentitySchema = z.object({
  ...dated,
  id: z.literal("TD_QE"),
  version: z.literal(2),
  miscselect: hex,
  miscselectMask: hex,
  attributes: bytes,
  attributesMask: bytes,
  mrsigner: bytes,
  isvprodid: svn,
  tcbLevels: enclaveLevels,
});

export type TcbInfo = z.output<typeof tcbInfoSchema>;
export type QeIdentity = z.output<typeof qeIdentitySchema>;
export type EnclaveLevels = z.output<typeof enclaveLevels>;
export type TdxModule = z.output<typeof moduleSchema>;

function parsed<S extends z.ZodType>(schema: S, text: string, what: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refused("malformed", `${what} is not JSON`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new Refused("malformed", `${what} is not as Intel writes it: ${result.error.issues[0]?.path.join(".")}`);
}

/**
 * Checks collateral and, with its lists, the chain of the processor's certificate.
 * @param text JSON with the fields of {@link collateralSchema}; lists and signatures in hex
 * @param pck leaf, CA and root, as the quote has them
 * @throws {Refused}
 */
export async function checkCollateral(
  text: string,
  pck: readonly Certificate[],
  roots: VendorRoots,
  trust: Trust,
  to: Findings,
): Promise<{ tcbInfo: TcbInfo; qeIdentity: QeIdentity }> {
  const collateral = parsed(collateralSchema, text, "the collateral");
  const [leaf, ca, root] = pck;
  if (!leaf || !ca || !root) throw new Refused("chain_form", "the quote's chain is not leaf, CA and root");
  const signers: Certificate[] = [];
  const signed = async (what: "tcb_info" | "qe_identity") => {
    const chain = certificatesOf(collateral[`${what}_issuer_chain`]).map(parseCertificate);
    await checkChain(chain, roots.intel, trust, to);
    const [signer] = chain;
    if (signer?.name !== "Intel SGX TCB Signing" || signer.key.kind !== "p256" || chain.length !== 2) {
      throw new Refused("chain_form", `${what} is not signed by Intel's key for it`);
    }
    signers.push(signer);
    const message = utf8ToBytes(collateral[what]);
    const good = await trust.check("p256-sha256", signer.key.bytes, collateral[`${what}_signature`], message);
    to.demand(good, "collateral_signature", `${what} is not as Intel signed it`);
  };
  await signed("tcb_info");
  await signed("qe_identity");
  const listIssuers = certificatesOf(collateral.pck_crl_issuer_chain);
  const same = listIssuers.length === 2 && [ca, root].every(({ bytes }, i) => sameBytes(bytes, listIssuers[i]!));
  to.demand(same, "collateral_mismatch", "the collateral's list is of another CA than the quote's chain");
  await checkRevocation(parseRevocationList(collateral.root_ca_crl), root, [ca, ...signers], trust, to);
  await checkRevocation(parseRevocationList(collateral.pck_crl), ca, [leaf], trust, to);
  const tcbInfo = parsed(tcbInfoSchema, collateral.tcb_info, "tcb_info");
  const qeIdentity = parsed(qeIdentitySchema, collateral.qe_identity, "qe_identity");
  for (const [name, { issueDate, nextUpdate }] of Object.entries({ "TCB info": tcbInfo, "QE identity": qeIdentity })) {
    to.material(name, issueDate, nextUpdate);
    const valid = issueDate <= trust.at && trust.at <= nextUpdate;
    to.demand(valid, "time", `${name} is good from ${iso(issueDate)} to ${iso(nextUpdate)}`);
  }
  return { tcbInfo, qeIdentity };
}
