import { ask, type Heard, type Reach } from "./ask.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

/** Addresses of a name; rejects when there are none. */
export type Resolve = (name: string) => Promise<readonly string[]>;

/** A Timmy that answered: its version, and when its process was started (null: it does not tell). */
export interface Running {
  version: string;
  startedAt: string | null;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;
const PRIVATE =
  /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[f[cd])|\.(local|lan|home\.arpa|internal|onion)$/;
const isAddress = (name: string) => /^[\d.]+$|^\[/.test(name);

/** What answers at an origin; null when nothing does, "other" when it is no Timmy. */
export async function whoAnswers(origin: string, reach: Reach): Promise<Running | "other" | { silent: string }> {
  const health = await ask(reach, `${origin}/api/health`);
  if ("silent" in health) return health;
  const version = versionOf(health);
  if (version === null) return "other";
  const metrics = await ask(reach, `${origin}/metrics`, { headers: { accept: "text/plain" } });
  const startedAt = "silent" in metrics ? null : /^process_start_time_seconds (\S+)$/m.exec(metrics.text)?.[1] ?? null;
  return { version, startedAt };
}

function versionOf({ status, body }: Exclude<Heard, { silent: string }>): string | null {
  if (status !== 200 || typeof body !== "object" || body === null) return null;
  const { status: said, version } = body as { status?: unknown; version?: unknown };
  return said === "ok" && typeof version === "string" && /^[\w.+-]{1,64}$/.test(version) ? version : null;
}

/** What the port and the folder's lock say together. */
export interface PortChecked {
  findings: Finding[];
  /** The instance of this data folder, when it answers. */
  own: Running | null;
}

/**
 * Whether the port is free, or our own instance is on it.
 * @param at what answers there
 * @param locked whether a process has the data folder
 */
export function checkPort(
  { host, port, version }: { host: string; port: number; version: string },
  at: Running | "other" | { silent: string },
  locked: boolean,
): PortChecked {
  const place = `${host}:${port}`;
  const none = (finding: Finding): PortChecked => ({ findings: [finding], own: null });
  if (at !== "other" && "silent" in at) {
    if (!/refused/.test(at.silent)) {
      return none(
        error("port", `something is at ${place} and gives no answer: ${at.silent}`, "stop it, or set another PORT"),
      );
    }
    return none(
      locked
        ? error(
          "port",
          `an instance has DATA_DIR and does not listen on ${place}`,
          "was HOST or PORT changed? Restart it",
        )
        : ok("port", `${place} is free`),
    );
  }
  if (at === "other") return none(error("port", `something else listens on ${place}`, "stop it, or set another PORT"));
  if (!locked) {
    return none(
      error("port", `another Timmy listens on ${place}, with other data`, "set another PORT, or its DATA_DIR"),
    );
  }
  const findings = [ok("port", `this instance listens on ${place}`)];
  if (at.version !== version) {
    findings.push(
      warning(
        "version",
        `timmy ${at.version} runs and this is timmyctl ${version}`,
        "restart it after an update, or update both",
      ),
    );
  }
  return { findings, own: at };
}

/** What an origin is by its spelling alone. @param set whether PUBLIC_ORIGIN says it, or HOST and PORT do */
export function originFinding(origin: string, set: boolean): Finding {
  const { hostname, protocol } = new URL(origin);
  if (["0.0.0.0", "[::]"].includes(hostname)) {
    return warning(
      "origin",
      `people are told ${origin}, which leads nowhere`,
      "set PUBLIC_ORIGIN to the address they use",
    );
  }
  if (LOOPBACK.test(hostname)) {
    return ok("origin", `${origin}: for this machine alone${set ? "" : ", since PUBLIC_ORIGIN is not set"}`);
  }
  if (protocol === "https:" || hostname.endsWith(".onion")) return ok("origin", `people use ${origin}`);
  const todo =
    "put a proxy with a certificate before it (docs/operations/proxy.md), and set PUBLIC_ORIGIN to https://…";
  return PRIVATE.test(hostname)
    ? warning("origin", `${origin} is not encrypted: everybody in this network reads tokens`, todo)
    : error("origin", `${origin} is not encrypted: everybody on the way reads tokens and keys`, todo);
}

/** Whether the address that people use leads to this very instance. @param own what answers on HOST:PORT, if it is ours */
export async function checkOrigin(origin: string, set: boolean, own: Running | null, reach: Reach): Promise<Finding[]> {
  const spelled = originFinding(origin, set);
  if (!set || /leads nowhere/.test(spelled.message)) return [spelled];
  const at = await whoAnswers(origin, reach);
  if (at !== "other" && "silent" in at) {
    const what = `PUBLIC_ORIGIN does not answer from here: ${at.silent}`;
    return [
      spelled,
      own
        ? error(
          "origin",
          what,
          "look at the proxy and the name; a router that lets nobody in from inside may mislead this check",
        )
        : warning("origin", what, "start timmy, and run timmyctl doctor again"),
    ];
  }
  if (at === "other") {
    return [
      spelled,
      error("origin", "PUBLIC_ORIGIN is answered by something that is no Timmy", "look where the proxy sends it"),
    ];
  }
  if (!own) {
    return [
      spelled,
      warning(
        "origin",
        "a Timmy answers at PUBLIC_ORIGIN, and none of this data folder runs",
        "start it, and ask again",
      ),
    ];
  }
  if (at.version !== own.version || at.startedAt !== own.startedAt) {
    return [
      spelled,
      error("origin", "PUBLIC_ORIGIN is answered by another Timmy", "look where the name and the proxy lead"),
    ];
  }
  return [spelled, ok("origin", "PUBLIC_ORIGIN leads to this instance")];
}

/**
 * Whether the names of what the settings reach are known.
 * @param hosts name → the variables it stands in
 */
export async function checkDns(hosts: ReadonlyMap<string, readonly string[]>, resolve: Resolve): Promise<Finding[]> {
  const names = [...hosts.keys()].filter((name) =>
    !isAddress(name) && name !== "localhost" && !name.endsWith(".onion")
  );
  const unknown = await Promise.all(
    names.map(async (name) => (await resolve(name).catch(() => [])).length === 0 ? name : null),
  );
  const missing = unknown.filter((name) => name !== null);
  if (names.length > 0 && missing.length === names.length) {
    return [
      error(
        "dns",
        `not one of ${names.length} names is known here`,
        "look at this machine's network and its resolver (/etc/resolv.conf)",
      ),
    ];
  }
  if (missing.length > 0) {
    return missing.map((name) => {
      const variables = hosts.get(name)?.join(", ");
      return error(
        "dns",
        `the name ${name} of ${variables} is not known`,
        `correct ${variables}, or look at the resolver`,
      );
    });
  }
  return [ok("dns", names.length === 0 ? "no names to look up" : `${names.length} names are known`)];
}
