/** What a program is made of: CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/) out of `deno.lock`. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { bytesOfBase64, Refused } from "./refused.ts";

/** What of `deno.lock` (version 5) is read. */
interface Lock {
  version: string;
  npm: Record<string, { integrity: string; dependencies?: string[] }>;
  workspace: { dependencies: string[] };
}

/** A version of the program, and the tools that made it. */
export interface About {
  version: string;
  /** 40 hex digits. */
  commit: string;
  /** What is in the binary beside the packages, and what made it: name → version and SHA-256 in hex. */
  tools: Readonly<Record<string, { version: string; sha256: string }>>;
}

interface Component {
  type: string;
  "bom-ref": string;
  name: string;
  version: string;
  purl?: string;
  hashes: { alg: string; content: string }[];
}
interface Sbom {
  bomFormat: string;
  specVersion: string;
  serialNumber: string;
  version: number;
  metadata: { component: Component; properties: { name: string; value: string }[] };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

const LOCK = "timmy:deno.lock:sha256";
const COMMIT = "timmy:commit";

/**
 * The text of the SBOM: every package of the lock with its SHA-512, what each needs, and the tools. The same lock gives the same
 * text: its serial number comes from the content, and it names no time.
 *
 * @param lockText of `deno.lock`
 */
export function writeSbom(lockText: string, { version, commit, tools }: About): string {
  const lock: Lock = JSON.parse(lockText);
  if (lock.version !== "5") throw new Error(`deno.lock is of version ${lock.version}; an SBOM is made of version 5`);
  const ids = Object.keys(lock.npm).toSorted();
  const refOf = (wanted: string) => {
    const id = ids.find((id) => id === wanted || withoutPeers(id) === wanted || nameOf(id) === wanted);
    if (id === undefined) throw new Error(`deno.lock needs ${wanted} and does not have it`);
    return purlOf(id);
  };
  const root = `pkg:generic/timmy@${version}`;
  const components: Component[] = [
    ...Object.entries(tools).map(([name, tool]) => ({
      type: "application",
      "bom-ref": `pkg:generic/${name}@${tool.version}`,
      name,
      version: tool.version,
      hashes: [{ alg: "SHA-256", content: tool.sha256 }],
    })),
    ...ids.map((id) => ({
      type: "library",
      "bom-ref": purlOf(id),
      name: nameOf(id),
      version: versionOf(id),
      purl: purlOf(id),
      hashes: [{ alg: "SHA-512", content: sha512Of(lock.npm[id]!.integrity) }],
    })),
  ];
  const dependencies = [
    { ref: root, dependsOn: lock.workspace.dependencies.map((it) => refOf(it.replace(/^npm:/, ""))).toSorted() },
    ...ids.map((id) => ({ ref: purlOf(id), dependsOn: (lock.npm[id]!.dependencies ?? []).map(refOf).toSorted() })),
  ];
  const lockHash = bytesToHex(sha256(utf8ToBytes(lockText)));
  const sbom: Sbom = {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify([version, commit, components, dependencies]))}`,
    version: 1,
    metadata: {
      component: { type: "application", "bom-ref": root, name: "timmy", version, hashes: [] },
      properties: [{ name: COMMIT, value: commit }, { name: LOCK, value: lockHash }],
    },
    components,
    dependencies,
  };
  return `${JSON.stringify(sbom, null, 2)}\n`;
}

/**
 * Checks that an SBOM is of this version and commit, and complete in itself.
 *
 * @returns SHA-256 of the lock it was made of, in hex, and how many components it lists
 * @throws {Refused}
 */
export function checkSbom(
  text: string,
  { version, commit }: Pick<About, "version" | "commit">,
): { lock: string; components: number } {
  const refuse = (what: string) => new Refused("sbom", `the SBOM ${what}`);
  let sbom: Sbom;
  try {
    sbom = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw refuse("is not JSON");
    throw error;
  }
  if (sbom?.bomFormat !== "CycloneDX" || sbom.specVersion !== "1.5") throw refuse("is not CycloneDX 1.5");
  const { metadata, components, dependencies } = sbom;
  if (metadata?.component?.name !== "timmy" || metadata.component.version !== version) {
    throw refuse(`is not of timmy ${version}`);
  }
  const property = (name: string) => metadata.properties?.find((it) => it.name === name)?.value;
  if (property(COMMIT) !== commit) throw refuse(`is not of the commit ${commit}`);
  const lock = property(LOCK);
  if (!lock || !/^[0-9a-f]{64}$/.test(lock)) throw refuse("does not say which lock it was made of");
  if (!Array.isArray(components) || components.length === 0) throw refuse("lists nothing");
  for (const { name, hashes } of components) {
    if (!hashes?.length) throw refuse(`has no hash of ${name}`);
  }
  const refs = new Set([metadata.component["bom-ref"], ...components.map((it) => it["bom-ref"])]);
  if (refs.size !== components.length + 1) throw refuse("lists something twice");
  const dangling = (dependencies ?? []).flatMap((it) => [it.ref, ...it.dependsOn]).find((ref) => !refs.has(ref));
  if (dangling !== undefined) throw refuse(`needs ${dangling} and does not list it`);
  return { lock, components: components.length };
}

/** `zod@4.6.7` of `zod@4.6.7_x@1`, which names the peers it was resolved with. */
const withoutPeers = (id: string): string => /^.[^@]*@[^_]*/.exec(id)?.[0] ?? id;
const nameOf = (id: string): string => /^.[^@]*/.exec(id)?.[0] ?? id;
const versionOf = (id: string): string => withoutPeers(id).slice(nameOf(id).length + 1);
const purlOf = (id: string): string => `pkg:npm/${nameOf(id).replace("@", "%40")}@${versionOf(id)}`;

function sha512Of(integrity: string): string {
  const bytes = bytesOfBase64(integrity.replace(/^sha512-/, ""));
  if (!integrity.startsWith("sha512-") || bytes?.length !== 64) {
    throw new Error(`deno.lock has no SHA-512: ${integrity}`);
  }
  return bytesToHex(bytes);
}

/** A UUID of version 8 (RFC 9562 §5.8) from a text. */
function uuidOf(text: string): string {
  const bytes = sha256(utf8ToBytes(text)).slice(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytesToHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
