// A client whose state the test sets: for what the interface shows of it.

import { vi } from "vitest";

import type { Lease } from "../../src/element/shared_client.js";
import { createStore, type WritableStore } from "../../src/store.js";
import type {
  Allowance,
  Author,
  Client,
  ClientEvents,
  ConnectionState,
  Limit,
  Message,
  Outgoing,
  Presence,
  Room,
  Timeline,
} from "../../src/types.js";

export const ADA: Author = { id: "u:1", kind: "user", name: "Ada" };
export const BEN: Author = { id: "u:2", kind: "user", name: "Ben" };
export const ZOE: Author = { id: "g:1", kind: "guest", name: "Zoë" };

/** Noon of a day in the past, local time, and so many minutes later. */
export const at = (minutes = 0): string =>
  new Date(new Date(2026, 0, 15, 12).getTime() + minutes * 60_000).toISOString();

export const message = (seq: number, rest: Partial<Message> = {}): Message => ({
  room: "general",
  seq,
  author: BEN,
  text: `message ${seq}`,
  at: at(),
  ...rest,
});

export const outgoing = (client_id: string, rest: Partial<Outgoing> = {}): Outgoing => ({
  room: "general",
  client_id,
  text: `text of ${client_id}`,
  status: "queued",
  attempts: 0,
  created: Date.now(),
  ...rest,
});

const EMPTY: Timeline = {
  status: "live",
  messages: [],
  unsent: [],
  gaps: [],
  hasOlder: false,
  loadingOlder: false,
  title: "General",
  head: 0,
  epoch: "e",
  read: 0,
  unread: 0,
  moderates: false,
  readOnly: false,
};

const FREE: Allowance = {
  remaining: 10,
  burst: 10,
  freeAt: null,
  secondsLeft: 0,
  policy: null,
  slowModeMs: 0,
};

/** The room whose stores can be set. */
export function fakeRoom(name: string): FakeRoom {
  const timeline = createStore<Timeline>({
    ...EMPTY,
    title: name[0]!.toUpperCase() + name.slice(1),
  });
  const allowance = createStore<Allowance>(FREE);
  const draft = createStore("");
  return {
    name,
    timeline,
    allowance,
    typists: createStore<readonly Author[]>([]),
    presence: createStore<Presence>({ here: [], off: false }),
    draft,
    join: vi.fn<() => void>(),
    leave: vi.fn<() => void>(),
    send: vi.fn<Room["send"]>(() => ({
      client_id: "c",
      sent: Promise.resolve({ seq: 1, client_id: "c" }),
      cancel: () => true,
    })),
    retry: vi.fn<Room["retry"]>(),
    discard: vi.fn<Room["discard"]>((id) =>
      timeline.get().unsent.find(({ client_id }) => client_id === id),
    ),
    edit: vi.fn<Room["edit"]>(() => Promise.resolve({ seq: 1, client_id: "" })),
    delete: vi.fn<Room["delete"]>(() => Promise.resolve({ seq: 1, client_id: "" })),
    append: vi.fn<Room["append"]>(() => Promise.resolve()),
    cancel: vi.fn<Room["cancel"]>(() => Promise.resolve({ seq: 1, client_id: "" })),
    typing: vi.fn<Room["typing"]>(),
    markRead: vi.fn<Room["markRead"]>(),
    setDraft: vi.fn<Room["setDraft"]>((text) => draft.set(text)),
    loadOlder: vi.fn<Room["loadOlder"]>(() => Promise.resolve()),
    fillGap: vi.fn<Room["fillGap"]>(() => Promise.resolve()),
    trim: vi.fn<Room["trim"]>(),
    show: (change) => timeline.set({ ...timeline.get(), ...change }),
    allow: (change) => allowance.set({ ...allowance.get(), ...change }),
  };
}

export interface FakeRoom extends Room {
  readonly timeline: WritableStore<Timeline>;
  readonly allowance: WritableStore<Allowance>;
  readonly typists: WritableStore<readonly Author[]>;
  readonly presence: WritableStore<Presence>;
  readonly draft: WritableStore<string>;
  show(change: Partial<Timeline>): void;
  allow(change: Partial<Allowance>): void;
}

export interface FakeClient extends Client {
  readonly state: WritableStore<ConnectionState>;
  readonly user: WritableStore<Author | null>;
  readonly outbox: WritableStore<readonly Outgoing[]>;
  readonly rooms: WritableStore<readonly string[]>;
  room(name: string): FakeRoom;
  emit<Name extends keyof ClientEvents>(name: Name, event: ClientEvents[Name]): void;
}

export function fakeClient(): FakeClient {
  const rooms = new Map<string, FakeRoom>();
  const listeners = new Map<string, Set<(event: any) => void>>();
  return {
    state: createStore<ConnectionState>({ status: "online", since: 0, transport: "websocket" }),
    user: createStore<Author | null>(ADA),
    limits: createStore<readonly Limit[]>([]),
    outbox: createStore<readonly Outgoing[]>([]),
    rooms: createStore<readonly string[]>([]),
    clock: {
      now: () => performance.now(),
      setTimeout: (callback, ms) => setTimeout(callback, ms),
      clearTimeout: (handle) => clearTimeout(handle as number),
    },
    connect: vi.fn<() => void>(),
    attach: vi.fn<Client["attach"]>(),
    fetch: vi.fn<typeof fetch>(),
    room(name) {
      const room = rooms.get(name) ?? fakeRoom(name);
      rooms.set(name, room);
      return room;
    },
    retryNow: vi.fn<() => void>(),
    rename: vi.fn<Client["rename"]>(),
    ready: () => Promise.resolve(),
    close: vi.fn<() => void>(),
    on(name, listener) {
      const all = listeners.get(name) ?? new Set();
      listeners.set(name, all.add(listener));
      return () => {
        all.delete(listener);
      };
    },
    emit: (name, event) => listeners.get(name)?.forEach((listener) => listener(event)),
  };
}

/** A lease on a client, with an API that answers what the test says. */
export function fakeLease(client: Client): Lease {
  return {
    client,
    get: vi.fn<Lease["get"]>(() => Promise.resolve({})),
    patch: vi.fn<Lease["patch"]>(() => Promise.resolve({})),
    maxBytes: () => 1_000,
    join: (room) => client.room(room).join(),
    leave: (room) => client.room(room).leave(),
    release: vi.fn<() => void>(),
  };
}
