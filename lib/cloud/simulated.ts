import { type Clock, sleep } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import { refusalOf } from "./limits.rules.ts";
import { bareKey, firstOf, isId, isTag, objectionTo } from "./orders.rules.ts";
import { type Cloud, CloudError, type Order, type Resource, type ResourceKind } from "./port.ts";
import { type FaultPlan, planned, type SimulatedFault, under } from "./simulated-faults.ts";
import { createSimulatedNodes, type FirstBootReport } from "./simulated-node.ts";
import {
  ACCOUNT,
  MAX_REPORT_PAUSE_MS,
  type SimulatedAccount,
  type SimulatedTimes,
  TIMES,
} from "./simulated-defaults.ts";
import { createRows, freeAddress, newUuid, type Row, type SimCloudStore } from "./simulated-rows.ts";

export interface SimulatedCloudOptions {
  clock: Clock;
  random: Random;
  /** 32 secret bytes, the same at every start: the keys of the imaginary nodes come from them. */
  seed: Uint8Array;
  /** Without one everything is forgotten with the process. */
  store?: SimCloudStore;
  /** Delivers a node's report. Without it no node ever reports. */
  send?: (report: FirstBootReport) => Promise<{ status: number }>;
  times?: Partial<SimulatedTimes>;
  /** What is sold, and how much of it. */
  account?: Partial<SimulatedAccount>;
  faults?: SimulatedFaults;
}

/** Set and cleared by a test at any time; `{}` is a cloud that works. */
export type SimulatedFaults = { [call in "refusal" | "ensure" | "look" | "list" | "tag" | "destroy"]?: FaultPlan };

export interface SimulatedCloud extends Cloud {
  /** Reads the store, and lets the nodes report that had not done so before the last end. @throws {CloudError} */
  start(): Promise<void>;
  /** No node reports after this. */
  close(): void;
}

/**
 * A cloud without machines behind it. It takes the time a real one takes, refuses what a real one refuses, and the node on
 * a machine reports its first boot, signed, by the same route. Nothing runs anywhere and nothing is paid.
 * @throws {Error} when the seed does not have 32 bytes.
 */
export function createSimulatedCloud(options: SimulatedCloudOptions): SimulatedCloud {
  const { clock, random, send, faults = {} } = options;
  if (options.seed.length !== 32) throw new Error("the simulated cloud's seed must have 32 bytes");
  const times = { ...TIMES, ...options.times };
  /** Read anew each time: a test changes it. */
  const account = () => ({ ...ACCOUNT, ...options.account });
  const nodes = createSimulatedNodes(options.seed, random);
  const rows = createRows(options.store ?? null);
  const timers = new Map<string, () => void>();
  let closed = false;
  let lastId = 0;
  const isGone = ({ endsAt }: Row) => endsAt !== null && clock.now() >= endsAt;

  /** One call as a provider takes it: some time, the planned fault, and nothing that has ended in the meantime. */
  const call = <T>(name: keyof SimulatedFaults, effect: (fault?: SimulatedFault) => Promise<T>): Promise<T> => {
    const fault = planned(faults[name]);
    return under(clock, fault, async () => {
      await rows.load();
      if (times.callMs > 0) await sleep(clock, times.callMs);
      const ended = rows.all().filter(isGone);
      const free = (row: Row) => ended.some(({ id }) => id === row.attachedTo);
      const freed = rows.all().filter(free).map((row) => ({ ...row, attachedTo: null }));
      if (ended.length > 0) await rows.commit({ put: freed, remove: ended });
      return await effect(fault);
    });
  };

  function shown(row: Row): Resource {
    const { kind, id, name, tags, region } = row;
    const isMachine = kind === "machine";
    const age = clock.now() - row.createdAt;
    const pending = isMachine && age < times.activeMs;
    return {
      kind,
      id,
      name,
      tags: [...tags],
      region,
      createdAt: kind === "ssh-key" ? null : row.createdAt,
      ipv4: !row.errored && age >= times.addressMs ? row.address : null,
      state: row.errored ? "errored" : pending ? "pending" : "active",
      volumeIds: isMachine ? rows.all().filter(({ attachedTo }) => attachedTo === id).map((volume) => volume.id) : [],
    };
  }

  function find(order: Order): Row | null {
    const named = rows.all().filter(({ kind, name }) => kind === order.kind && name === order.name);
    if (order.kind === "ssh-key") {
      const key = bareKey(order.publicKey)?.base64 ?? "";
      return rows.all().find(({ publicKey }) => publicKey === key) ?? null;
    }
    const here = order.kind === "volume" ? named.filter(({ region }) => region === order.region) : named;
    return firstOf(here);
  }

  async function make(order: Order, errored: boolean): Promise<Row> {
    const id = order.kind === "volume" ? newUuid(random) : nextId();
    const row: Row = {
      v: 1,
      kind: order.kind,
      id,
      name: order.name,
      tags: order.kind === "ssh-key" ? [] : [...order.tags],
      region: order.kind === "ssh-key" ? null : order.region,
      createdAt: clock.now(),
      publicKey: order.kind === "ssh-key" ? bareKey(order.publicKey)?.base64 ?? "" : null,
      address: order.kind === "machine" ? freeAddress(id, rows.all().map(({ address }) => address)) : null,
      attachedTo: null,
      endsAt: null,
      errored: order.kind === "machine" && errored,
      report: order.kind === "machine" ? nodes.targetOf(order.userData) : null,
    };
    const attached = order.kind === "machine" ? volumesFor(order).map((one) => ({ ...one, attachedTo: row.id })) : [];
    await rows.commit({ put: [row, ...attached] });
    schedule(row);
    return row;
  }

  /** @throws {CloudError} when a key or a volume of the order is not there, elsewhere or taken. */
  function volumesFor(order: Extract<Order, { kind: "machine" }>): Row[] {
    for (const id of order.sshKeyIds) if (!rows.get("ssh-key", id)) throw refused("there is no such SSH key");
    return order.volumeIds.map((id) => {
      const volume = rows.get("volume", id);
      if (!volume || volume.region !== order.region) throw refused("there is no such volume in the region");
      if (volume.attachedTo !== null) throw refused("the volume is attached to another machine");
      return volume;
    });
  }

  /** Later ones are higher, and none is used again after its machine is gone: the time of the order, in 1/10 ms. */
  function nextId(): string {
    lastId = Math.max(lastId + 1, 10 * clock.now());
    return String(lastId);
  }

  const state = () => {
    const count = (kind: ResourceKind) => rows.all().filter((row) => row.kind === kind).length;
    const { locked, maxMachines, maxVolumes, regions, sizes } = account();
    return {
      locked,
      maxMachines,
      maxVolumes,
      machines: count("machine"),
      volumes: count("volume"),
      regions: regions.map((slug) => ({ slug, available: true, hasVolumes: true })),
      sizes: sizes.map((slug) => ({ slug, available: true, regions })),
    };
  };

  /** The node reports some time after its machine is active, and again until its report is taken or the machine ends. */
  function schedule({ id, createdAt }: Row): void {
    if (!send) return;
    let pause = times.reportRetryMs;
    const wait = (ms: number) => void timers.set(id, clock.after(Math.max(0, ms), () => void report()));
    const report = async () => {
      const row = rows.get("machine", id);
      if (closed || !row?.report || row.errored || isGone(row)) return void timers.delete(id);
      if (await isTaken(row, row.report)) return void timers.delete(id);
      if (closed) return;
      wait(pause);
      pause = Math.min(2 * pause, MAX_REPORT_PAUSE_MS);
    };
    wait(createdAt + times.activeMs + times.firstBootMs - clock.now());
  }

  async function isTaken(row: Row, target: NonNullable<Row["report"]>): Promise<boolean> {
    try {
      const answer = await send?.(nodes.report(row, target, clock.now()));
      if (answer === undefined || answer.status < 200 || answer.status > 299) return false;
      const now = rows.get("machine", row.id);
      if (now) await rows.commit({ put: [{ ...now, report: null }] });
      return true;
    } catch {
      return false; // as a node's own script: whatever went wrong, it reports again
    }
  }

  return {
    name: "simulated",
    simulated: true,
    async start() {
      await rows.load();
      for (const row of rows.all()) if (row.report && !timers.has(row.id)) schedule(row);
    },
    close() {
      closed = true;
      for (const cancel of timers.values()) cancel();
      timers.clear();
    },
    refusal: (want) => call("refusal", () => Promise.resolve(refusalOf(state(), want))),
    async ensure(order) {
      const objection = objectionTo(order);
      if (objection !== null) throw refused(objection);
      return await call("ensure", async (fault) => {
        const found = find(order);
        if (found && order.kind !== "ssh-key" && !found.tags.includes(order.tags[0] ?? "")) {
          throw new CloudError(`something of the name ${order.name} exists without our tag; it was not touched`, true);
        }
        if (found) return shown(found);
        if (order.kind !== "ssh-key") {
          const known = { size: account().sizes[0] ?? "", volumeGb: order.kind === "volume" ? 1 : 0, ...order };
          const now = state();
          const refusal = refusalOf(order.kind === "volume" ? { ...now, machines: -1 } : now, known);
          if (refusal) throw refused(refusal.message);
        }
        return shown(await make(order, fault?.kind === "errored"));
      });
    },
    async look(kind, id) {
      checkId(kind, id);
      return await call("look", () => {
        const row = rows.get(kind, id);
        return Promise.resolve(row && shown(row));
      });
    },
    async list(tag) {
      checkTag(tag);
      const isOurs = ({ kind, name, tags }: Row) =>
        kind === "ssh-key" ? name === tag || name.startsWith(`${tag}-`) : tags.includes(tag);
      return await call("list", () => Promise.resolve(rows.all().filter(isOurs).map(shown)));
    },
    async tag(kind, id, tag) {
      checkId(kind, id);
      checkTag(tag);
      await call("tag", async () => {
        const row = rows.get(kind, id);
        if (!row) throw refused("there is nothing of this id");
        await rows.commit({ put: [{ ...row, tags: [...new Set([...row.tags, tag])] }] });
      });
    },
    async destroy(kind, id) {
      checkId(kind, id);
      await call("destroy", async () => {
        const row = rows.get(kind, id);
        if (!row || row.endsAt !== null) return;
        if (row.attachedTo !== null) throw new CloudError("the volume is being detached", true, times.endMs);
        if (kind !== "machine") return await rows.commit({ remove: [row] });
        timers.get(id)?.();
        timers.delete(id);
        await rows.commit({ put: [{ ...row, endsAt: clock.now() + times.endMs, report: null }] });
      });
    },
  };
}

const refused = (why: string) => new CloudError(why, false);

function checkId(kind: ResourceKind, id: string): void {
  if (!isId(kind, id)) throw refused(`this cannot be the id of a ${kind}`);
}
function checkTag(tag: string): void {
  if (!isTag(tag)) throw refused("a tag has letters, digits, colons, hyphens and underscores");
}
