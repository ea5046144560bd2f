/** What a new node says of itself when it has booted (docs/spec/bootstrap.md §4, §6), signed by a key made on the node. */
import { z } from "zod";
import { parseSshPublicKey } from "./ssh-public-key.ts";
import { checkSshSignature } from "./ssh-signature.ts";

export interface FirstBootReport {
  /** ms since the epoch, by the node's clock. */
  at: number;
  /** `type base64`, without comments; at least one. */
  sshHostKeys: string[];
  /** `ssh-ed25519 base64`: the key that signed the report. */
  nodeKey: string;
  tailscaleHostname: string | null;
  /** An origin without a path: `http://127.0.0.1:5000`. */
  lnbitsUrl: string | null;
  /** What runs, by name, in the node's own words. */
  services: Record<string, string>;
}

export type ReportFault = "report_too_large" | "report_signature" | "report_malformed" | "report_key" | "report_time";
export type ReportCheck = { ok: true; report: FirstBootReport } | { ok: false; code: ReportFault; message: string };

export const REPORT_NAMESPACE = "timmy-first-boot";
export const MAX_REPORT_BYTES = 16_384;
/** A node signs a new report for each try, so an old one is a copy, or the node's clock is wrong. */
const MAX_SKEW_MS = 15 * 60_000;

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const HOST_KEY_TYPES: readonly string[] = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
];

const IP_ADDRESS = z.union([z.ipv4(), z.ipv6()]);

/** One public key line of an allowed type, without its comment. */
const keyLine = (types: readonly string[]) =>
  z.string().transform((line, context) => {
    const parsed = parseSshPublicKey(line);
    if (parsed.ok && types.includes(parsed.type)) return parsed.key;
    context.addIssue({ code: "custom", message: parsed.ok ? `must be one of ${types.join(", ")}` : parsed.message });
    return z.NEVER;
  });

const REPORT = z.strictObject({
  at: z.union([
    z.int().nonnegative(),
    z.iso.datetime({ offset: true }).transform((text) => new Date(text).getTime()),
  ], { error: "must be a time: ISO 8601 with its zone, or ms since the epoch" }),
  sshHostKeys: z.array(keyLine(HOST_KEY_TYPES)).min(1).max(8),
  nodeKey: keyLine(["ssh-ed25519"]),
  tailscaleHostname: z.string().regex(HOST_NAME, "must be a host name").nullable(),
  lnbitsUrl: z.string().nullable(),
  services: z.record(
    z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/),
    z.string().regex(/^[\x20-\x7e]{0,200}$/, "must be at most 200 printable ASCII characters"),
  ).refine((services) => Object.keys(services).length <= 32, "must name at most 32"),
}).transform((report, context): FirstBootReport => {
  const lnbitsUrl = report.lnbitsUrl === null ? null : originOnNode(report.lnbitsUrl, report.tailscaleHostname);
  if (lnbitsUrl !== undefined) return { ...report, lnbitsUrl };
  context.addIssue({
    code: "custom",
    path: ["lnbitsUrl"],
    message:
      "must be an http(s) address without path, query or password, on the loopback interface or the node's tailnet name",
  });
  return z.NEVER;
});

/**
 * Checks a report. The signature comes first: nothing of a body that nobody signed is read. That the report comes from the node that
 * was ordered is shown by its one-time token, which the caller checks; the signature shows that the body arrived as it was signed.
 * @param body as it arrived
 * @param signature base64, the value of `X-Timmy-Signature`
 * @param now ms since the epoch; `at` may be 15 minutes before or after it
 * @returns never throws for anything a node sent; the message names the field at fault
 */
export function verifyReport(body: Uint8Array, signature: string, now: number): ReportCheck {
  if (body.length > MAX_REPORT_BYTES) {
    return refuse("report_too_large", `A report has at most ${MAX_REPORT_BYTES} bytes.`);
  }
  const signed = checkSshSignature(signature, REPORT_NAMESPACE, body);
  if (!signed.ok) return refuse("report_signature", signed.message);
  const json = jsonOf(body);
  if (json === undefined) return refuse("report_malformed", "The report is not JSON in UTF-8.");
  const parsed = REPORT.safeParse(json);
  if (!parsed.success) return refuse("report_malformed", wordsOf(parsed.error.issues[0]!));
  const report = parsed.data;
  if (report.nodeKey !== signed.key) return refuse("report_key", "The report is not signed by the nodeKey it names.");
  if (Math.abs(report.at - now) > MAX_SKEW_MS) {
    return refuse(
      "report_time",
      "The report is more than 15 minutes old or ahead. Set the node's clock and sign a new one.",
    );
  }
  return { ok: true, report };
}

/**
 * Lines for `~/.ssh/known_hosts`, so that the first login needs no trust: `ssh` compares the node's key with these.
 * @param ip the node's public IPv4 or IPv6 address, without a port
 * @param hostKeys as {@link FirstBootReport.sshHostKeys} has them
 * @throws {RangeError} when one of them is no address or key: another text in that file could stand for other hosts
 */
export function knownHosts(ip: string, hostKeys: readonly string[]): string[] {
  if (!IP_ADDRESS.safeParse(ip).success) throw new RangeError("known_hosts lines are made for an IP address");
  return hostKeys.map((line) => {
    const parsed = parseSshPublicKey(line);
    if (!parsed.ok) throw new RangeError(parsed.message);
    return `${ip} ${parsed.key}`;
  });
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

/** The origin of an address that leads to the node itself; undefined for any other. */
function originOnNode(text: string, tailscaleHostname: string | null): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const bare = /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
  return bare && leadsToNode(url.hostname, tailscaleHostname) ? url.origin : undefined;
}

function leadsToNode(host: string, tailscaleHostname: string | null): boolean {
  if (host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host)) return true;
  if (tailscaleHostname === null) return false;
  if (host === tailscaleHostname) return true;
  // The node may give its short name only; and Tailscale gives its machines addresses of 100.64.0.0/10.
  if (!tailscaleHostname.includes(".")) {
    const [name, , ...domain] = host.split(".");
    if (name === tailscaleHostname && domain.join(".") === "ts.net") return true;
  }
  return /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+$/.test(host);
}

const wordsOf = ({ path, message }: { path: PropertyKey[]; message: string }) =>
  `The report's ${path.length > 0 ? path.map(String).join(".") : "body"}: ${message}`.slice(0, 300);

const refuse = (code: ReportFault, message: string): ReportCheck => ({ ok: false, code, message });
