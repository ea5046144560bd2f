/** What the simulated cloud remembers: in memory, and in a store where there is one. */
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Random } from "@/lib/ids.ts";
import { CloudError, type ResourceKind } from "./port.ts";
import type { ReportTarget } from "./simulated-node.ts";

/** What the simulated cloud needs of a store. `lib/store/store.ts` fits. */
export interface SimCloudStore {
  transact<T>(fn: (tx: SimCloudTx) => Promise<T> | T): Promise<T>;
  list<T extends { v: number }>(
    prefix: readonly string[],
    options?: { limit?: number },
  ): Promise<{ value: T }[]>;
}
interface SimCloudTx {
  set(key: readonly string[], value: { v: number }): void;
  delete(key: readonly string[]): void;
}

export interface Row {
  v: 1;
  kind: ResourceKind;
  id: string;
  name: string;
  tags: readonly string[];
  region: string | null;
  createdAt: number;
  /** Without its comment; null for all but an SSH key. */
  publicKey: string | null;
  /** A machine's, from its order on; it is shown later. */
  address: string | null;
  /** The machine a volume is attached to. */
  attachedTo: string | null;
  /** A machine that was asked to end is there until this time (ms). */
  endsAt: number | null;
  /** The provider gave up on making it. */
  errored: boolean;
  /** Where the machine's node reports; null once it has, and for all else. */
  report: ReportTarget | null;
}

export interface Rows {
  /** Reads the store, once. Everything else works after it only. @throws {CloudError} */
  load(): Promise<void>;
  all(): Row[];
  get(kind: ResourceKind, id: string): Row | null;
  /** Changes at once, and durably before it resolves. @throws {CloudError} when the store refuses: then nothing changed. */
  commit(change: { put?: readonly Row[]; remove?: readonly Row[] }): Promise<void>;
}

const ROOT = "simulated-cloud";
/** More than an account of this kind has. */
const MAX_ROWS = 100_000;

export function createRows(store: SimCloudStore | null): Rows {
  const rows = new Map<string, Row>();
  let loaded: Promise<void> | null = null;
  const keyOf = ({ kind, id }: Pick<Row, "kind" | "id">) => `${kind} ${id}`;
  const storeKey = ({ kind, id }: Row) => [ROOT, kind, id];

  async function read(): Promise<void> {
    for (const { value } of await store?.list<Row>([ROOT], { limit: MAX_ROWS }) ?? []) rows.set(keyOf(value), value);
  }

  return {
    load: () =>
      loaded ??= read().catch((cause) => {
        loaded = null;
        throw unavailable(cause);
      }),
    all: () => [...rows.values()],
    get: (kind, id) => rows.get(keyOf({ kind, id })) ?? null,
    async commit({ put = [], remove = [] }) {
      const before = new Map([...put, ...remove].map((row) => [keyOf(row), rows.get(keyOf(row))]));
      for (const row of put) rows.set(keyOf(row), row);
      for (const row of remove) rows.delete(keyOf(row));
      try {
        await store?.transact((tx) => {
          for (const row of put) tx.set(storeKey(row), row);
          for (const row of remove) tx.delete(storeKey(row));
        });
      } catch (cause) {
        for (const [key, row] of before) row ? rows.set(key, row) : rows.delete(key);
        throw unavailable(cause);
      }
    },
  };
}

function unavailable(cause: unknown): CloudError {
  const error = new CloudError("the simulated cloud's store did not answer", true);
  error.cause = cause;
  return error;
}

/** Addresses for documentation (RFC 5737): nobody can have one of them. */
const NETS = ["192.0.2", "198.51.100", "203.0.113"] as const;
const HOSTS = 254;

/** The first address from a machine's id on that no other machine has. @throws {CloudError} when all are taken. */
export function freeAddress(id: string, taken: readonly (string | null)[]): string {
  for (let step = 0; step < NETS.length * HOSTS; step++) {
    const number = (Number(id) + step) % (NETS.length * HOSTS);
    const address = `${NETS[Math.floor(number / HOSTS)]}.${1 + number % HOSTS}`;
    if (!taken.includes(address)) return address;
  }
  throw new CloudError("the simulated cloud has no address left", false);
}

/** A random UUID (RFC 9562 §5.4, version 4). */
export function newUuid(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytesToHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
