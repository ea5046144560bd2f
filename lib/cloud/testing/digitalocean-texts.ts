/** How DigitalOcean's API v2 writes its answers down. */
import type { Received, Reply } from "./api-server.ts";
import type { Made } from "./digitalocean-server.ts";

const features = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"];
export const REGIONS = [
  { name: "New York 3", slug: "nyc3", available: true, features, sizes: ["s-4vcpu-8gb", "s-2vcpu-4gb"] },
  { name: "Amsterdam 3", slug: "ams3", available: true, features, sizes: ["s-2vcpu-4gb"] },
  { name: "San Francisco 1", slug: "sfo1", available: false, features, sizes: [] },
  { name: "Bangalore 1", slug: "blr1", available: true, features: ["ipv6"], sizes: ["s-4vcpu-8gb"] },
];

const size = (slug: string, regions: string[], available = true) => ({
  slug,
  memory: 8_192,
  vcpus: 4,
  disk: 160,
  transfer: 5,
  price_monthly: 48,
  price_hourly: 0.07143,
  regions,
  available,
  description: "Basic",
});
export const SIZES = [
  size("s-4vcpu-8gb", ["nyc3", "blr1"]),
  size("s-2vcpu-4gb", ["nyc3", "ams3"]),
  size("s-8vcpu-16gb", ["nyc3"], false),
];

const isoOf = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, "Z");

export const volumeOf = (volume: Made) => ({
  id: volume.id,
  name: volume.name,
  description: "",
  created_at: isoOf(volume.createdAt),
  droplet_ids: volume.attachedTo === null ? [] : [Number(volume.attachedTo)],
  tags: volume.tags,
  region: REGIONS.find(({ slug }) => slug === volume.region),
  size_gigabytes: volume.order.size_gigabytes ?? 10,
  filesystem_type: "ext4",
  filesystem_label: "",
});

/** @param age since its order (ms) */
export function dropletOf(
  droplet: Made,
  age: number,
  times: { addressMs: number; activeMs: number },
  volumes: readonly Made[],
) {
  const inside = { ip_address: "10.128.192.124", netmask: "255.255.0.0", type: "private" };
  const outside = { ip_address: `203.0.113.${1 + Number(droplet.id) % 254}`, netmask: "255.255.255.0", type: "public" };
  const hasAddress = !droplet.errored && age >= times.addressMs;
  return {
    id: Number(droplet.id),
    name: droplet.name,
    memory: 8_192,
    vcpus: 4,
    disk: 160,
    locked: false,
    status: !droplet.errored && age >= times.activeMs ? "active" : "new",
    created_at: isoOf(droplet.createdAt),
    features: ["ipv6"],
    backup_ids: [],
    snapshot_ids: [],
    next_backup_window: null,
    volume_ids: volumes.map(({ id }) => id),
    image: { id: 1, slug: droplet.order.image ?? null },
    size: SIZES[0],
    size_slug: droplet.order.size ?? "s-4vcpu-8gb",
    networks: { v4: hasAddress ? [inside, outside] : [], v6: [] },
    region: REGIONS.find(({ slug }) => slug === droplet.region),
    tags: droplet.tags,
  };
}

const IDS: Readonly<Record<number, string>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  409: "conflict",
  422: "unprocessable_entity",
  429: "too_many_requests",
};

export function refusal(status: number, message?: string): Reply {
  const usual = status === 401 ? "Unable to authenticate you" : "The resource you were accessing could not be found.";
  return { status, body: { id: IDS[status], message: message ?? usual }, headers: LIMIT_HEADERS };
}

const LIMIT_HEADERS = { "ratelimit-limit": "5000", "ratelimit-remaining": "4816", "ratelimit-reset": "1444931833" };

/** One page of a list, with the links that make sense and the total. */
export function pageOf({ query, origin, path }: Received, root: string, all: readonly unknown[]): Reply {
  const size = Number(query.get("per_page") ?? 20);
  const page = Number(query.get("page") ?? 1);
  const last = Math.max(1, Math.ceil(all.length / size));
  const linkTo = (number: number) => {
    const search = new URLSearchParams(query);
    search.set("page", String(number));
    return `${origin}${path}?${search}`;
  };
  const onward = page < last ? { next: linkTo(page + 1), last: linkTo(last) } : {};
  const back = page > 1 ? { first: linkTo(1), prev: linkTo(page - 1) } : {};
  return {
    status: 200,
    headers: LIMIT_HEADERS,
    body: {
      [root]: all.slice((page - 1) * size, page * size),
      links: last > 1 ? { pages: { ...back, ...onward } } : {},
      meta: { total: all.length },
    },
  };
}
