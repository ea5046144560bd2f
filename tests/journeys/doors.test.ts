import assert from "node:assert/strict";
import { createWorld, type World } from "../harness/world.ts";
import { openSession } from "../harness/session-payer.ts";

async function inWorld(play: (world: World) => Promise<void>, options: Parameters<typeof createWorld>[0] = {}) {
  const world = await createWorld(options);
  try {
    await play(world);
  } finally {
    await world.close();
  }
}
