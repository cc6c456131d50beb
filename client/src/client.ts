// The client: one connection, and all that goes over it.

import { createLink } from "./connection.js";
import { createEmitter } from "./emitter.js";
import { ChatError } from "./errors.js";
import { createLimits } from "./limits.js";
import type { Command, Owner, Reply } from "./link.js";
import { createOutbox } from "./outbox.js";
import { createOutboxStorage } from "./outbox_storage.js";
import { PacedQueue } from "./paced_queue.js";
import { platformOf } from "./platform.js";
import { createRoom, type OwnRoom } from "./room.js";
import { createStore } from "./store.js";
import { createTabLock } from "./tab_lock.js";
import type {
  Author,
  Client,
  ClientEvents,
  ClientOptions,
  JsonObject,
  Push,
  Room,
} from "./types.js";

/** Make a client. It connects once there is something to connect for. */
export function createClient<Data = JsonObject>(options: ClientOptions = {}): Client<Data> {
  const platform = platformOf(options);
  const { clock, random, storage, lifecycle } = platform;
  const rooms = new Map<string, OwnRoom<Data>>();
  const events = createEmitter<ClientEvents<Data>>();
  const user = createStore<Author | null>(null);
  const joined = createStore<readonly string[]>([]);
  const queues = new Map<string, PacedQueue<Command, Reply>>();

  const limits = createLimits(clock, () => {
    outbox.kick();
    for (const queue of queues.values()) queue.kick();
  });

  const owner: Owner = {
    resume() {
      const wanted = wantedRooms();
      return {
        resume: Object.fromEntries(
          wanted.flatMap(([name, own]) => {
            const place = own.place();
            return place ? [[name, place]] : [];
          }),
        ),
        pending: outbox.pending(),
        rooms: wanted.flatMap(([name, own]) => (own.place() ? [] : [name])),
      };
    },
    welcomed(welcome) {
      user.set(welcome.user);
      limits.announce(welcome.limits, true);
      const standings = new Map(Object.entries(welcome.rooms));
      for (const [name, own] of wantedRooms()) own.welcomed(standings.get(name));
      outbox.start(welcome.user.id, welcome.max_message_bytes);
    },
    heard(push) {
      events.emit("push", push);
      if (push.push === "rooms") changedRooms(push);
      else if (push.room) rooms.get(push.room)?.heard(push);
    },
    lost() {
      outbox.stop();
      for (const own of rooms.values()) own.lost();
    },
    taught: limits.taught,
    described(descriptor) {
      if (descriptor.limits) limits.announce(descriptor.limits);
      for (const name of descriptor.rooms) room(name).join();
    },
  };

  const link = createLink(options, owner);

  const outbox = createOutbox<Data>({
    clock,
    random,
    limits,
    settings: options.outbox,
    randomUUID: options.randomUUID ?? newId,
    storage:
      options.outbox?.persist && storage
        ? createOutboxStorage(storage, createTabLock(clock, storage, newId()))
        : null,
    call: link.call,
    changed: (name) => rooms.get(name)?.changed(),
    saved: (name, seq, outgoing, at) => rooms.get(name)?.saved(seq, outgoing, at),
  });

  function wantedRooms(): [string, OwnRoom<Data>][] {
    return [...rooms].filter(([, own]) => own.isWanted());
  }

  /** Ask the server for something, as soon as its limits allow. */
  async function ask(command: Command): Promise<Reply> {
    const { cmd } = command;
    const name = command["room"] as string;
    const key = cmd === "edit" ? `edit ${name}` : /^(history|append)$/.test(cmd) ? cmd : "";
    let queue = queues.get(key);
    if (!queue) {
      queue = new PacedQueue<Command, Reply>({
        clock,
        random,
        inFlight: 4,
        maxItems: 200,
        gate: limits.gate(cmd, name),
        start: link.call,
        refused: (error, each) => limits.refused(error, each["room"] as string),
      });
      queues.set(key, queue);
    }
    return queue.push(command).done;
  }

  function changedRooms(push: Push): void {
    const { joined: gained, left, unread } = push as Push & ClientEvents["rooms"];
    for (const name of left ?? []) {
      const own = rooms.get(name);
      if (own?.isWanted()) own.removed();
    }
    for (const name of gained ?? []) {
      const own = rooms.get(name);
      if (own?.isWanted()) own.room.join();
    }
    for (const [name, count] of Object.entries(unread ?? {})) rooms.get(name)?.unread(count);
    events.emit("rooms", {
      ...(gained && { joined: gained }),
      ...(left && { left }),
      ...(unread && { unread }),
    });
  }

  function newId(): string {
    // Only secure pages have `randomUUID`.
    const uuid = globalThis.crypto?.randomUUID?.() ?? `${random()}${random()}`.replace(/0\./g, "");
    // What begins with the time stands together in the server's index, and costs it less.
    return `${Date.now().toString(16)}-${uuid}`;
  }

  function room(name: string): Room<Data> {
    let own = rooms.get(name);
    if (!own) {
      own = createRoom<Data>({
        name,
        platform,
        settings: options,
        link,
        limits,
        outbox,
        events,
        user,
        ask,
        watched: () => joined.set(wantedRooms().map(([each]) => each)),
      });
      rooms.set(name, own);
    }
    return own.room;
  }

  function flush(): void {
    for (const own of rooms.values()) own.flush();
  }

  const unsubscribe = lifecycle.subscribe((event) => {
    if (event === "suspend" || event === "hidden") {
      flush();
      if (event === "suspend") outbox.suspend();
    } else {
      outbox.kick();
      if (event !== "online" && event !== "offline") outbox.adopt();
    }
  });

  for (const name of options.rooms ?? []) room(name).join();

  return {
    state: link.state,
    user,
    limits: limits.view,
    outbox: outbox.view,
    rooms: joined,
    clock,
    connect: link.open,
    attach: link.attach,
    fetch: link.fetch,
    room,
    retryNow: link.retryNow,
    rename: link.rename,
    ready: () =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const now = link.state.get();
          if (now.status === "online") resolve();
          else if (now.status === "closed") reject(new ChatError("closed", now.reason.text));
          else return;
          end();
        };
        const end = link.state.subscribe(look);
        look();
      }),
    close() {
      flush();
      unsubscribe();
      link.close();
      outbox.close();
    },
    on: events.on,
  };
}
