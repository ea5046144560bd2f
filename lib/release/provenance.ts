/** How a release was made: an in-toto statement v1 with SLSA's provenance v1 (https://slsa.dev/spec/v1.0/provenance). */
import { Refused } from "./refused.ts";

/** Everything that decides the bytes of a release. */
export interface Made {
  version: string;
  /** 40 hex digits. */
  commit: string;
  /** SHA-256 of `deno.lock`, in hex. */
  lock: string;
  /** Name → version and SHA-256 of what made it. */
  tools: Readonly<Record<string, { version: string; sha256: string }>>;
  command: string;
}

interface Subject {
  name: string;
  digest: { sha256: string };
}
interface Dependency {
  name: string;
  version?: string;
  digest: { gitCommit?: string; sha256?: string };
}
interface Statement {
  _type: string;
  subject: Subject[];
  predicateType: string;
  predicate: {
    buildDefinition: {
      buildType: string;
      externalParameters: { version: string; command: string };
      resolvedDependencies: Dependency[];
    };
    runDetails: { builder: { id: string } };
  };
}

const TYPE = "https://in-toto.io/Statement/v1";
const PREDICATE = "https://slsa.dev/provenance/v1";
/** Names, not addresses: what they mean stands in docs/release.md. */
const BUILD_TYPE = "urn:timmy:release:v1";
/** Who built it is not said here, since the same commit gives the same bytes whoever builds it: the signature says who released it. */
const BUILDER = "urn:timmy:anyone";

/** The text of the statement. It names neither time nor machine, so two builders write the same. @param hashes name → SHA-256 in hex */
export function writeProvenance(hashes: ReadonlyMap<string, string>, made: Made): string {
  const tools = Object.entries(made.tools).map(([name, { version, sha256 }]) => ({ name, version, sha256 }));
  const statement: Statement = {
    _type: TYPE,
    subject: [...hashes].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, sha256]) => ({
      name,
      digest: { sha256 },
    })),
    predicateType: PREDICATE,
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: { version: made.version, command: made.command },
        resolvedDependencies: [
          { name: "source", digest: { gitCommit: made.commit } },
          { name: "deno.lock", digest: { sha256: made.lock } },
          ...tools.map(({ name, version, sha256 }) => ({ name, version, digest: { sha256 } })),
        ],
      },
      runDetails: { builder: { id: BUILDER } },
    },
  };
  return `${JSON.stringify(statement, null, 2)}\n`;
}

/**
 * Checks that the statement is about these files, made from this commit and lock.
 *
 * @param hashes name → SHA-256 of all that the statement must be about
 * @param lock null when nothing else says which it was
 * @throws {Refused}
 */
export function checkProvenance(
  text: string,
  hashes: ReadonlyMap<string, string>,
  { version, commit, lock }: { version: string; commit: string; lock: string | null },
): void {
  const refuse = (what: string) => new Refused("provenance", `provenance.json ${what}`);
  let statement: Statement;
  try {
    statement = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw refuse("is not JSON");
    throw error;
  }
  if (statement?._type !== TYPE || statement.predicateType !== PREDICATE) {
    throw refuse("is not an in-toto statement of SLSA v1");
  }
  const subjects = new Map((statement.subject ?? []).map(({ name, digest }) => [name, digest?.sha256]));
  for (const [name, hash] of hashes) {
    if (subjects.get(name) !== hash) throw refuse(`is about another ${name}`);
  }
  if (subjects.size !== hashes.size) throw refuse("is about files that are not in this release");
  const build = statement.predicate?.buildDefinition;
  if (build?.buildType !== BUILD_TYPE) throw refuse("is of a kind of build that this program does not know");
  if (build.externalParameters?.version !== version) throw refuse(`is not of version ${version}`);
  const digestOf = (name: string) => build.resolvedDependencies?.find((it) => it.name === name)?.digest;
  if (digestOf("source")?.gitCommit !== commit) throw refuse(`is not of the commit ${commit}`);
  const named = digestOf("deno.lock")?.sha256;
  if (!named || (lock !== null && named !== lock)) throw refuse("and the SBOM name two locks");
  for (const name of ["deno", "denort-x86_64", "denort-aarch64"]) {
    if (!/^[0-9a-f]{64}$/.test(digestOf(name)?.sha256 ?? "")) throw refuse(`does not say which ${name} made it`);
  }
}
