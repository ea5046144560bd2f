import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { HelperError } from "@/lib/attestation/helper.ts";
import { toBase64 } from "@/lib/attestation/helper-protocol.ts";
import type { Quote } from "@/lib/attestation/port.ts";
import { bindingMessage, REPORT_DATA_LAYOUT, reportDataOf } from "@/lib/attestation/report-data.ts";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { unavailable } from "@/lib/http/errors.ts";
import type { GetAttestationRoute, GetBuildRoute } from "./attestation.routes.ts";

const RETRY_AFTER_SECONDS = 5;

const POLICY = {
  reportData: REPORT_DATA_LAYOUT,
  debug: "refused",
  measurement: "that of a machine image you built or trust; what an instance says of itself proves nothing",
} as const;

export const getBuild: AppRouteHandler<GetBuildRoute, AppDeps> = async (c) => c.json(await buildOf(c.get("deps")), 200);

export const getAttestation: AppRouteHandler<GetAttestationRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { attestor, instanceKey } = deps;
  const nonce = hexToBytes(c.req.valid("query").nonce);
  const build = await buildOf(deps);
  const { tlsKeyHash } = attestor;
  const reportData = reportDataOf({
    nonce,
    build: build.sha256 === "unknown" ? null : hexToBytes(build.sha256),
    instanceKey: hexToBytes(instanceKey.publicKey),
    tlsKeyHash: tlsKeyHash === null ? null : hexToBytes(tlsKeyHash),
  });
  const quote = await quoteOf(deps, reportData);
  return c.json({
    kind: quote?.kind ?? "none" as const,
    ...(quote && { quote: toBase64(quote.quote) }),
    ...(quote?.certificates && { certificates: toBase64(quote.certificates) }),
    reportData: bytesToHex(reportData),
    build,
    instanceKey: instanceKey.publicKey,
    ...(tlsKeyHash !== null && { tlsKeyHash }),
    signature: instanceKey.sign(bindingMessage(nonce, reportData)),
    policy: POLICY,
  }, 200);
};

const buildOf = async ({ version, commit, attestor }: AppDeps) => ({
  version,
  commit,
  sha256: await attestor.buildHash(),
});

/** A helper that is silent is never "no TEE": who expects evidence would take the one for the other. */
async function quoteOf({ attestor, log }: AppDeps, reportData: Uint8Array): Promise<Quote | null> {
  try {
    return await attestor.quote(reportData);
  } catch (cause) {
    if (!(cause instanceof HelperError)) throw cause;
    if (!cause.busy) log.warn({}, cause.message);
    throw unavailable(
      "attestation_unavailable",
      `This instance cannot get evidence of its hardware just now. Try again in ${RETRY_AFTER_SECONDS} seconds.`,
      RETRY_AFTER_SECONDS,
      { cause },
    );
  }
}
