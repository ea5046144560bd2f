import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { cloudContract, type CloudHarness } from "./cloud.contract.ts";
import { createDigitalOcean, type DigitalOceanOptions } from "./digitalocean.ts";
import { type DigitalOceanServerOptions, startDigitalOcean } from "./testing/digitalocean-server.ts";

export const MAKING = { "ssh-key": "POST /v2/account/keys", volume: "POST /v2/volumes", machine: "POST /v2/droplets" };

/** A server and the adapter on the same clock, which the test moves. */
export function setUp(server: DigitalOceanServerOptions = {}, options: Partial<DigitalOceanOptions> = {}) {
  const clock = createFakeClock();
  const times = { addressMs: 2_000, activeMs: 4_000, endMs: 3_000, detachMs: 2_000 };
  const digitalOcean = startDigitalOcean({ clock, times, ...server });
  const cloud = createDigitalOcean({ token: digitalOcean.token, baseUrl: digitalOcean.url, clock, ...options });
  return { clock, server: digitalOcean, cloud };
}

function harness(): CloudHarness {
  const { clock, server, cloud } = setUp({ keyLists: 1_000 });
  return {
    cloud,
    pass: (ms) => clock.advance(ms),
    made: (kind, name) => server.made(kind, name).length,
    existing: (kind, name) => server.existing(kind, name).length,
    spoilNext: (kind, how) => server.failNext(MAKING[kind], { how }),
    refuseNext() {
      const body = { id: "unauthorized", message: "Unable to authenticate you" };
      server.failNext("GET /v2/account/keys/:id", { how: "instead", status: 401, body });
    },
    failMaking: server.failMaking,
    storm: (seed) => server.failAtRandom({ rate: 1 / 3, seed }),
    calm: () => server.failAtRandom({ rate: 0, seed: 0 }),
    limit({ machines, volumes, locked }) {
      if (machines !== undefined) server.account.dropletLimit = machines;
      if (volumes !== undefined) server.account.volumeLimit = volumes;
      if (locked) server.account.status = "locked";
    },
    strangers: (kind, name) => Promise.resolve(server.put({ kind, name }).id),
    async close() {
      await server.close();
      assert.deepEqual(server.violations, []);
    },
  };
}

cloudContract("DigitalOcean", harness);
