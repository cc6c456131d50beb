// A client of the fake server, with all that it stands on.

import { createClient } from "../../src/client.js";
import type { Client, ClientOptions } from "../../src/types.js";
import { FakeClock } from "./fake_clock.js";
import { FakeLifecycle } from "./fake_lifecycle.js";
import { FakeServer } from "./fake_server.js";
import { FakeStorage } from "./fake_storage.js";

/** A generator of numbers in [0, 1), the same for the same seed. */
export function seeded(seed = 1): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Page {
  readonly clock: FakeClock;
  readonly server: FakeServer;
  readonly lifecycle: FakeLifecycle;
  readonly storage: FakeStorage;
  readonly client: Client;
}

let ids = 0;

export function openPage(options: ClientOptions = {}, on: Partial<Page> = {}): Page {
  const clock = on.clock ?? new FakeClock();
  const server = on.server ?? new FakeServer(clock);
  const lifecycle = on.lifecycle ?? new FakeLifecycle();
  const storage = on.storage ?? new FakeStorage();
  const client = createClient({
    bootstrap: server.bootstrap,
    WebSocket: server.sockets.WebSocket,
    fetch: () => Promise.reject(new Error("There is no network.")),
    ...{ clock, lifecycle, storage, random: seeded(), randomUUID: () => `c-${++ids}` },
    ...options,
  });
  return { clock, server, lifecycle, storage, client };
}

/** The texts of a room's timeline. */
export function texts(client: Client, room: string): string[] {
  return client
    .room(room)
    .timeline.get()
    .messages.map(({ text }) => text);
}
