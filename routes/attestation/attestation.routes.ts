import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { json } from "@/lib/http/schemas.ts";

const tags = ["attestation"];
const hex = (bytes: number, description: string) =>
  z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`)).openapi({ description });

const buildSchema = z.object({
  version: z.string(),
  commit: z.string().openapi({ description: "Of the source; `unknown` outside of a release" }),
  sha256: z.string().openapi({
    description:
      "SHA-256 of the program's file as it lies on the disk now, in hex; `unknown` from source, or where the program may not read itself",
  }),
}).openapi("Build");

const attestationSchema = z.object({
  kind: z.enum(["none", "sev-snp", "tdx", "nitro", "simulated"]).openapi({
    description:
      "The hardware behind this instance. `none`: none that could prove anything, and no quote. `simulated`: a test",
  }),
  quote: z.base64().optional().openapi({ description: "Report, quote or document of the hardware, base64" }),
  certificates: z.base64().optional().openapi({
    description: "SEV-SNP: the table of certificates of the host, where it has one, base64",
  }),
  reportData: hex(64, "What the hardware signed: the layout is in `policy`; 64 bytes in hex"),
  build: buildSchema,
  instanceKey: hex(32, "x-only public key of the instance (BIP-340), hex"),
  tlsKeyHash: hex(32, "SHA-256 of the SubjectPublicKeyInfo of the TLS key in front of it, hex").optional(),
  signature: hex(64, "BIP-340, by `instanceKey`, of the tagged hash `timmy/attestation` over nonce and `reportData`"),
  policy: z.object({
    reportData: z.string().openapi({ description: "How `reportData` is made" }),
    debug: z.literal("refused").openapi({ description: "Evidence with the debug bit is to be refused" }),
    measurement: z.string().openapi({ description: "Whom to ask what the measurement must be: not this instance" }),
  }),
}).openapi("Attestation");

export const getAttestation = createRoute({
  method: "get",
  path: "/api/attestation",
  operationId: "getAttestation",
  tags,
  summary: "Which machine is this, and which program?",
  description:
    "Evidence of the hardware for this moment, this build and this instance's key. Believe it only after checking it: " +
    "`timmyctl attest verify URL --policy FILE` does. Without a TEE it says `none`, which proves nothing about the machine.",
  request: {
    query: z.strictObject({
      nonce: z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 32 random bytes as 64 hex digits").openapi({
        param: { name: "nonce", in: "query" },
        example: "5f0c1d…",
        description: "32 random bytes of your own, hex: older evidence has another",
      }),
    }),
  },
  responses: {
    200: json(attestationSchema, "The evidence"),
    ...errorResponses(400, 401, 503),
  },
});
export type GetAttestationRoute = typeof getAttestation;

export const getBuild = createRoute({
  method: "get",
  path: "/api/build",
  operationId: "getBuild",
  tags,
  summary: "Which build is this?",
  description: "What the program says of itself. Compare `sha256` with the release's `SHA256SUMS`.",
  responses: {
    200: json(buildSchema, "The build"),
    ...errorResponses(400, 401, 503),
  },
});
export type GetBuildRoute = typeof getBuild;
