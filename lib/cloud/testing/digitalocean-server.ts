/**
 * A stand-in of DigitalOcean's API v2 on 127.0.0.1, for the calls of the adapter: it keeps what it is told to make, checks
 * the shape of every request, and has the real one's ways: two droplets of one name when asked twice, one volume of a name in
 * a region, one SSH key a public key, addresses that come later, a destroyed droplet that is there for some seconds more, and
 * ten lists of SSH keys a minute.
 */
import { createHash, randomUUID } from "node:crypto";
import type { Clock } from "@/lib/clock.ts";
import { systemClock } from "@/lib/clock.ts";
import { type ApiServer, type Received, type Reply, startApiServer } from "./api-server.ts";
import { BODIES, nameOf, objectionToQuery } from "./digitalocean-shapes.ts";
import { dropletOf, pageOf, refusal, REGIONS, SIZES, volumeOf } from "./digitalocean-texts.ts";

/** A droplet, a volume or an SSH key that was ever made. */
export interface Made {
  kind: "machine" | "volume" | "ssh-key";
  id: string;
  name: string;
  tags: string[];
  region: string;
  createdAt: number;
  /** When it is gone, or null while nobody has destroyed it (ms). */
  goneAt: number | null;
  /** Of an SSH key. */
  publicKey: string;
  /** Of a volume. */
  attachedTo: string | null;
  /** Of a droplet: what it was given, and whether its making failed. */
  order: Record<string, unknown>;
  errored: boolean;
}

export interface DigitalOceanServerOptions {
  clock?: Clock;
  /** Default: `dop_v1_` and 64 hex digits. */
  token?: string;
  dropletLimit?: number;
  volumeLimit?: number;
  status?: "active" | "warning" | "locked";
  /** From the order until the address, and until it is active; from the end until it is gone; from `detach` on (ms). */
  times?: { addressMs: number; activeMs: number; endMs: number; detachMs: number };
  /** Lists of SSH keys a minute. */
  keyLists?: number;
}

export interface DigitalOceanServer extends ApiServer {
  token: string;
  /** Can be changed while it runs. */
  account: { dropletLimit: number; volumeLimit: number; status: string };
  /** Everything ever made, of one kind or name. */
  made(kind?: Made["kind"], name?: string): Made[];
  /** What exists at this moment. */
  existing(kind?: Made["kind"], name?: string): Made[];
  /** The provider gives up on the next droplets of this name. */
  failMaking(name: string): void;
  /** Something of this account that the program did not make. */
  put(one: Pick<Made, "kind" | "name"> & Partial<Made>): Made;
}

const TIMES = { addressMs: 200, activeMs: 400, endMs: 300, detachMs: 200 };

export function startDigitalOcean(options: DigitalOceanServerOptions = {}): DigitalOceanServer {
  const { clock = systemClock, keyLists = 10 } = options;
  const token = options.token ?? `dop_v1_${"5ec2e7".repeat(11).slice(0, 64)}`;
  const times = options.times ?? TIMES;
  const account = {
    dropletLimit: options.dropletLimit ?? 25,
    volumeLimit: options.volumeLimit ?? 100,
    status: options.status ?? "active",
  };
  const everything: Made[] = [];
  const tags = new Set<string>();
  const failing = new Set<string>();
  const detaching = new Map<string, number>();
  const keyListsAt: number[] = [];
  let nextId = 3_164_000;

  const isThere = ({ goneAt }: Made) => goneAt === null || clock.now() < goneAt;
  const made: DigitalOceanServer["made"] = (kind, name) =>
    everything.filter((one) => (kind ?? one.kind) === one.kind && (name ?? one.name) === one.name);
  const existing: DigitalOceanServer["existing"] = (kind, name) => {
    for (const volume of everything) {
      const machine = everything.find(({ id }) => id === volume.attachedTo);
      const detachedAt = detaching.get(volume.id);
      if ((machine && !isThere(machine)) || (detachedAt !== undefined && clock.now() >= detachedAt)) {
        volume.attachedTo = null;
        detaching.delete(volume.id);
      }
    }
    return made(kind, name).filter(isThere);
  };
  const byId = (kind: Made["kind"], id: string) => existing(kind).find((one) => one.id === id);

  const put: DigitalOceanServer["put"] = (one) => {
    const whole: Made = {
      id: one.kind === "volume" ? randomUUID() : String(nextId++),
      tags: [],
      region: "nyc3",
      createdAt: clock.now(),
      goneAt: null,
      publicKey: "",
      attachedTo: null,
      order: {},
      errored: false,
      ...one,
    };
    for (const tag of whole.tags) tags.add(tag);
    everything.push(whole);
    return whole;
  };

  const shownDroplet = (droplet: Made) =>
    dropletOf(droplet, clock.now() - droplet.createdAt, times, existing("volume").filter(isOn(droplet)));
  const isOn = (droplet: Made) => ({ attachedTo }: Made) => attachedTo === droplet.id;
  const fingerprintOf = (publicKey: string) =>
    createHash("md5").update(publicKey.split(" ")[1] ?? "", "base64").digest("hex").match(/../g)!.join(":");
  const shownKey = (key: Made) => ({
    id: Number(key.id),
    name: key.name,
    public_key: key.publicKey,
    fingerprint: fingerprintOf(key.publicKey),
  });

  function makeKey(body: Record<string, unknown>): Reply {
    const publicKey = String(body.public_key);
    if (!/^[a-z0-9@.-]+ [A-Za-z0-9+/=]+/.test(publicKey)) return refusal(422, "Key invalid, key should be of the form");
    const fingerprint = fingerprintOf(publicKey);
    if (existing("ssh-key").some((key) => fingerprintOf(key.publicKey) === fingerprint)) {
      return refusal(422, "SSH Key is already in use on your account");
    }
    const key = put({ kind: "ssh-key", name: String(body.name), publicKey });
    return { status: 201, body: { ssh_key: shownKey(key) } };
  }

  function makeVolume(body: Record<string, unknown>): Reply {
    const { name, region } = body as { name: string; region: string };
    if (existing("volume", name).some((volume) => volume.region === region)) {
      return refusal(409, "a volume of this name exists in the region");
    }
    if (!REGIONS.some(({ slug, features }) => slug === region && features.includes("storage"))) {
      return refusal(422, "region is not valid");
    }
    if (existing("volume").length >= account.volumeLimit) return refusal(403, "volume limit exceeded");
    const volume = put({ kind: "volume", name, region, tags: (body.tags ?? []) as string[], order: body });
    return { status: 201, body: { volume: volumeOf(volume) } };
  }

  function makeDroplet(body: Record<string, unknown>): Reply {
    const { name, region, size } = body as { name: string; region: string; size: string };
    const sold = SIZES.some(({ slug, available, regions }) => slug === size && available && regions.includes(region));
    if (!sold) return refusal(422, "You specified an invalid size for Droplet creation.");
    if (existing("machine").length >= account.dropletLimit) {
      return refusal(422, "creating this/these droplet(s) will exceed your droplet limit");
    }
    const keys = (body.ssh_keys as (number | string)[]).map(String);
    if (!keys.every((id) => byId("ssh-key", id))) return refusal(422, "invalid key identifiers for Droplet creation");
    const volumes = (body.volumes as string[]).map((id) => byId("volume", id));
    if (!volumes.every((volume) => volume?.region === region && volume.attachedTo === null)) {
      return refusal(422, "failed to create Droplet: a volume is not there, elsewhere, or attached already");
    }
    const errored = failing.has(name);
    const droplet = put({ kind: "machine", name, region, tags: body.tags as string[], order: body, errored });
    for (const volume of volumes) if (volume) volume.attachedTo = droplet.id;
    const action = { id: nextId++, rel: "create", href: "https://api.digitalocean.com/v2/actions/1" };
    return { status: 202, body: { droplet: shownDroplet(droplet), links: { actions: [action] } } };
  }

  function remove(kind: Made["kind"], id: string): Reply {
    const one = kind === "ssh-key" ? keyBy(id) : byId(kind, id);
    if (!one) return refusal(404);
    if (one.attachedTo !== null) return refusal(409, "attached volume cannot be deleted");
    one.goneAt ??= clock.now() + (kind === "machine" ? times.endMs : 0);
    return { status: 204 };
  }

  function detach(id: string, body: Record<string, unknown>): Reply {
    const volume = byId("volume", id);
    if (!volume) return refusal(404);
    const machine = byId("machine", String(body.droplet_id));
    if (!machine || volume.attachedTo !== machine.id) return refusal(422, "Attachment not found");
    if (clock.now() < machine.createdAt + times.activeMs || machine.goneAt !== null) {
      return refusal(422, "Droplet already has a pending event.");
    }
    detaching.set(id, clock.now() + times.detachMs);
    return { status: 202, body: { action: { id: nextId++, status: "in-progress", type: "detach_volume" } } };
  }

  function tagAll(tag: string, body: Record<string, unknown>): Reply {
    if (!tags.has(tag)) return refusal(404);
    for (const { resource_id, resource_type } of body.resources as Record<string, string>[]) {
      const one = byId(resource_type === "droplet" ? "machine" : "volume", resource_id ?? "");
      if (!one) return refusal(404);
      one.tags = [...new Set([...one.tags, tag])];
    }
    return { status: 204 };
  }

  const keyBy = (id: string) => existing("ssh-key").find((key) => key.id === id || fingerprintOf(key.publicKey) === id);

  function listKeys(received: Received): Reply {
    const since = keyListsAt.filter((at) => clock.now() - at < 60_000).length;
    if (since >= keyLists) return { ...refusal(429, "Too many requests"), headers: { "retry-after": "30" } };
    keyListsAt.push(clock.now());
    return pageOf(received, "ssh_keys", existing("ssh-key").map(shownKey));
  }

  function droplets(received: Received): Reply {
    const name = received.query.get("name")?.toLowerCase();
    const tag = received.query.get("tag_name");
    const found = existing("machine").filter((one) => (name ?? one.name.toLowerCase()) === one.name.toLowerCase())
      .filter((one) => tag === null || one.tags.includes(tag));
    return pageOf(received, "droplets", found.map(shownDroplet));
  }

  function volumes(received: Received): Reply {
    const region = received.query.get("region");
    const found = existing("volume", received.query.get("name") ?? undefined)
      .filter((one) => region === null || one.region === region);
    return pageOf(received, "volumes", found.map(volumeOf));
  }

  function read(name: string, id: string, received: Received): Reply {
    const droplet = byId("machine", id);
    const volume = byId("volume", id);
    const key = keyBy(id);
    const { dropletLimit, volumeLimit, status } = account;
    const limits = { droplet_limit: dropletLimit, volume_limit: volumeLimit, floating_ip_limit: 3 };
    const whole = {
      ...limits,
      status,
      status_message: "",
      email: "owner@example.com",
      email_verified: true,
      uuid: "b6",
    };
    if (name === "GET /v2/account") return { status: 200, body: { account: whole } };
    if (name === "GET /v2/account/keys") return listKeys(received);
    if (name === "GET /v2/droplets") return droplets(received);
    if (name === "GET /v2/volumes") return volumes(received);
    if (name === "GET /v2/sizes") return pageOf(received, "sizes", SIZES);
    if (name === "GET /v2/regions") return pageOf(received, "regions", REGIONS);
    if (name === "GET /v2/account/keys/:id" && key) return { status: 200, body: { ssh_key: shownKey(key) } };
    if (name === "GET /v2/volumes/:id" && volume) return { status: 200, body: { volume: volumeOf(volume) } };
    if (name === "GET /v2/droplets/:id" && droplet) return { status: 200, body: { droplet: shownDroplet(droplet) } };
    if (name === "GET /v2/droplets/:id/actions" && droplet) {
      const age = clock.now() - droplet.createdAt;
      const state = droplet.errored ? "errored" : age >= times.activeMs ? "completed" : "in-progress";
      return pageOf(received, "actions", [{ id: 1, type: "create", status: state, resource_type: "droplet" }]);
    }
    return refusal(404);
  }

  function write(name: string, id: string, body: Record<string, unknown>): Reply {
    if (name === "POST /v2/account/keys") return makeKey(body);
    if (name === "POST /v2/volumes") return makeVolume(body);
    if (name === "POST /v2/droplets") return makeDroplet(body);
    if (name === "POST /v2/volumes/:id/actions") return detach(id, body);
    if (name === "POST /v2/tags/:id/resources") return tagAll(id, body);
    tags.add(String(body.name));
    return { status: 201, body: { tag: { name: body.name, resources: { count: 0 } } } };
  }

  function handle(name: string, received: Received, violate: (why: string) => void): Reply {
    const { headers, method, text, query } = received;
    if (headers.get("authorization") !== `Bearer ${token}`) return refusal(401);
    const wrongQuery = objectionToQuery(name, query);
    if (wrongQuery) violate(wrongQuery);
    if (method !== "POST" && text !== "") violate("it takes no body");
    const parts = received.path.split("/");
    const id = decodeURIComponent((/:id\//.test(name) ? parts.at(-2) : parts.at(-1)) ?? "");
    if (method === "GET") return read(name, id, received);
    if (method === "DELETE") {
      return remove(name.includes("keys") ? "ssh-key" : name.includes("volumes") ? "volume" : "machine", id);
    }
    if (headers.get("content-type") !== "application/json") violate("its body is not called JSON");
    const body = BODIES[name as keyof typeof BODIES].safeParse(JSON.parse(text));
    if (body.success) return write(name, id, body.data);
    violate(body.error.message);
    return refusal(422, "the body is not as it should be");
  }

  const server = startApiServer({ nameOf, handle });
  return { ...server, token, account, made, existing, put, failMaking: (name) => void failing.add(name) };
}
