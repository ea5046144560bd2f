/**
 * `attest`: whether an instance runs the program and in the enclave that it claims. The evidence is checked on this machine; no third
 * party is asked.
 * Exit codes: 0 accepted, 1 refused, 2 the command itself is wrong.
 */
import { parseArgs } from "node:util";
import { bytesToHex } from "@noble/hashes/utils.js";
import { verifyAnswer } from "@/lib/attestation/answer.ts";
import { certificatesOf } from "@/lib/attestation/pem.ts";
import { parsePolicy, type Policy } from "@/lib/attestation/policy.ts";
import {
  collect,
  HARDWARE,
  type Hardware,
  inWords,
  type Kind,
  Refused,
  type Verdict,
} from "@/lib/attestation/verdict.ts";
import { VENDOR_ROOTS, type VendorRoots } from "@/lib/attestation/vendor-roots.ts";
import { type Evidence, verifyEvidence } from "@/lib/attestation/verify.ts";
import type { Command } from "./command.ts";
import { getOverOneConnection, type Got } from "./attest-request.ts";

/** What the command touches: the terminal, files, the network, the clock. */
export interface AttestIo {
  out(text: string): void;
  err(text: string): void;
  readFile(path: string): Promise<Uint8Array>;
  get(url: URL): Promise<Got>;
  /** Ms since the epoch. */
  now(): number;
  random(length: number): Uint8Array;
  /** Default: the vendors' own. */
  roots?: VendorRoots;
}

export const ATTEST_USAGE = `attest verify URL [--policy FILE] [--json]
    asks a running instance for evidence and checks it: chain to the vendor's root, signature, firmware, debug bit, measurement,
    and that whoever answers holds the attested key. Without --policy nobody said which measurement is good, and it is refused.
      --leaf FILE         SEV-SNP: certificate of the chip's key, where the host has none (DER or PEM)
      --chain FILE        SEV-SNP: what leads from it to AMD's root (PEM)
      --crl FILE          SEV-SNP: AMD's list of revoked certificates (DER)
      --collateral FILE   TDX: Intel's collateral (JSON)
attest check --kind sev-snp|tdx|nitro [--at ISO] FILES [--root FILE] [--policy FILE] [--json]
    checks evidence in files, for a moment (default: now):
      sev-snp   --report FILE --leaf FILE [--chain FILE] [--crl FILE]
      tdx       --quote FILE --collateral FILE
      nitro     --doc FILE
      --root FILE         trust this root in place of the vendor's`;

/** The command was given wrongly, or a file cannot be used. */
class UsageError extends Error {
  override name = "UsageError";
}

const text = { type: "string" } as const;
const OPTIONS = {
  kind: text,
  at: text,
  report: text,
  leaf: text,
  chain: text,
  crl: text,
  quote: text,
  collateral: text,
  doc: text,
  root: text,
  policy: text,
  json: { type: "boolean", default: false },
} as const;
type Options = ReturnType<typeof parsed>["values"];

const parsed = (args: string[]) => parseArgs({ args, options: OPTIONS, allowPositionals: true });

/** @returns the exit code. */
export async function attest(args: readonly string[], io: AttestIo = systemIo): Promise<number> {
  try {
    const { values, positionals: [command, url, ...rest] } = read(args);
    if (rest.length > 0) throw new UsageError(`what is ${rest[0]}?`);
    if (command === "verify" && url !== undefined) return tell(await verify(url, values, io), values, io);
    if (command === "check" && url === undefined) return tell(await check(values, io), values, io);
    throw new UsageError("attest verify URL, or attest check");
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.err(`attest: ${error.message}\n${ATTEST_USAGE}`);
    return 2;
  }
}

function read(args: readonly string[]) {
  try {
    return parsed([...args]);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function tell(verdict: Verdict, { json }: Options, io: AttestIo): number {
  io.out(json ? JSON.stringify(verdict, null, 2) : inWords(verdict));
  return verdict.ok ? 0 : 1;
}

async function verify(address: string, options: Options, io: AttestIo): Promise<Verdict> {
  const url = URL.parse(address);
  if (!url || !/^https?:$/.test(url.protocol)) throw new UsageError(`${address} is not an http(s) address`);
  only(options, ["policy", "leaf", "chain", "crl", "collateral"], "attest verify");
  const nonce = io.random(32);
  const asked = new URL(`${url.pathname.replace(/\/+$/, "")}/api/attestation?nonce=${bytesToHex(nonce)}`, url);
  const material = await materialIn(options, io);
  const got = await io.get(asked);
  const at = io.now();
  if (!got.ok) return await refused("none", at, got.message);
  return await verifyAnswer(got.body, {
    ...material,
    nonce,
    at,
    tlsKeyHash: got.tlsKeyHash,
    policy: await policyIn(options, io),
    ...(io.roots && { roots: io.roots }),
  });
}

const refused = (kind: Kind, at: number, message: string) =>
  collect(kind, at, () => Promise.reject(new Refused("answer", message)));

async function materialIn(options: Options, io: AttestIo) {
  const { leaf, chain, crl, collateral } = options;
  return {
    ...(leaf !== undefined && { leaf: (await certificatesIn(leaf, io))[0]! }),
    ...(chain !== undefined && { chain: await certificatesIn(chain, io) }),
    ...(crl !== undefined && { revocationList: await file(crl, io) }),
    ...(collateral !== undefined && { collateral: new TextDecoder().decode(await file(collateral, io)) }),
  };
}

const FILES_OF: Record<Hardware, { needed: (keyof Options)[]; more: (keyof Options)[] }> = {
  "sev-snp": { needed: ["report", "leaf"], more: ["chain", "crl"] },
  tdx: { needed: ["quote", "collateral"], more: [] },
  nitro: { needed: ["doc"], more: [] },
};

async function check(options: Options, io: AttestIo): Promise<Verdict> {
  const kind = HARDWARE.find((name) => name === options.kind);
  if (!kind) throw new UsageError(`--kind must be one of ${HARDWARE.join(", ")}`);
  const { needed, more } = FILES_OF[kind];
  only(options, [...needed, ...more, "kind", "at", "root", "policy"], `--kind ${kind}`);
  for (const name of needed) {
    if (options[name] === undefined) throw new UsageError(`--kind ${kind} needs --${name} FILE`);
  }
  const at = options.at === undefined ? io.now() : Date.parse(options.at);
  if (Number.isNaN(at)) throw new UsageError("--at must be a time such as 2026-01-01T00:00:00Z");
  const roots = options.root === undefined ? io.roots : rootsOf(await certificatesIn(options.root, io));
  const policy = await policyIn(options, io);
  const evidence = await evidenceIn(kind, options, io);
  return await verifyEvidence(evidence, { at, reportData: null, policy, ...(roots && { roots }) });
}

async function evidenceIn(kind: Hardware, options: Options, io: AttestIo): Promise<Evidence> {
  const { report = "", quote = "", doc = "" } = options;
  const material = await materialIn(options, io);
  if (kind === "nitro") return { kind, document: await file(doc, io) };
  if (kind === "tdx") return { kind, quote: await file(quote, io), collateral: material.collateral ?? "" };
  return { ...material, kind, report: await file(report, io), leaf: material.leaf ?? new Uint8Array() };
}

const rootsOf = (given: readonly Uint8Array[]): VendorRoots => ({
  amd: given,
  amdIntermediates: VENDOR_ROOTS.amdIntermediates,
  intel: given,
  aws: given,
});

async function policyIn({ policy }: Options, io: AttestIo): Promise<Policy | null> {
  if (policy === undefined) return null;
  const read = parsePolicy(new TextDecoder().decode(await file(policy, io)));
  if (!read.ok) throw new UsageError(`${policy}: ${read.message}`);
  return read.policy;
}

async function certificatesIn(path: string, io: AttestIo): Promise<Uint8Array[]> {
  const bytes = await file(path, io);
  const pem = new TextDecoder("latin1").decode(bytes);
  if (!pem.startsWith("-----")) return [bytes];
  try {
    return certificatesOf(pem);
  } catch (error) {
    if (error instanceof Refused) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}

async function file(path: string, io: AttestIo): Promise<Uint8Array> {
  try {
    return await io.readFile(path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/** An option that does not belong to the command is a mistake, not to be passed over. */
function only(options: Options, names: readonly string[], what: string): void {
  for (const name of Object.keys(options)) {
    if (name !== "json" && !names.includes(name)) throw new UsageError(`--${name} does not belong to ${what}`);
  }
}

const systemIo: AttestIo = {
  out: (line) => void Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`)),
  err: (line) => void Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`)),
  readFile: (path) => Deno.readFile(path),
  get: (url) => getOverOneConnection(url),
  now: () => Date.now(),
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
};

/** `timmyctl attest`. */
export const command: Command = {
  usage: "verify URL | check --kind KIND FILES",
  help: ATTEST_USAGE,
  run: (args, io) => attest(args, { ...systemIo, out: io.out, err: io.err }),
};
