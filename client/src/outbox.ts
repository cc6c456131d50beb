// What one says, from the moment it is said until the server has acknowledged it: a queue
// for each room, all of them bounded together.

import { ChatError } from "./errors.js";
import { encode } from "./json.js";
import type { Limits } from "./limits.js";
import type { Command, Reply } from "./link.js";
import type { Kept, OutboxStorage } from "./outbox_storage.js";
import { type PacedItem, PacedQueue } from "./paced_queue.js";
import type { ClientOptions, Clock, Draft, Outgoing, SendHandle, Sent } from "./types.js";
import { createView, type View } from "./view.js";

// As many as a hello takes of a room.
const MAX_PENDING = 50;
// Stands for any id that a command gets when its size is reckoned.
const LARGEST_ID = Number.MAX_SAFE_INTEGER;

interface Said extends Kept {
  /** The user id of who said it; empty while that is not known. */
  by: string;
  bytes: number;
  /** It may have reached the server. */
  isTried?: boolean;
}

type Item = PacedItem<Said, Saved>;
type Saved = Sent & { readonly at?: string };

export interface OutboxOptions<Data> {
  clock: Clock;
  random: () => number;
  randomUUID: () => string;
  limits: Limits;
  storage: OutboxStorage | null;
  settings: ClientOptions["outbox"];
  call: (command: Command) => Promise<Reply>;
  /** Something of the room is another than before. */
  changed: (room: string) => void;
  /** It is saved: before it is gone from here. */
  saved: (room: string, seq: number, outgoing: Outgoing<Data>, at: string | undefined) => void;
}

export interface Outbox<Data> {
  readonly view: View<readonly Outgoing<Data>[]>;
  of(room: string): readonly Outgoing<Data>[];
  /** How many are to go before the next one. */
  waiting(room: string): number;
  send(room: string, draft: string | Draft<Data>, client_id?: string): SendHandle;
  retry(room: string, client_id: string): void;
  discard(room: string, client_id: string): Outgoing<Data> | undefined;
  /** What may have been saved already. */
  pending(): Record<string, string[]>;
  /** It is in the log, as is known by `welcome` or by the push. */
  landed(room: string, client_id: string, seq: number): void;
  /** Online as somebody: what others have said is put aside until they are back. */
  start(user: string, maxBytes: number): void;
  stop(): void;
  kick(): void;
  /** One may do in the room what one might not before. */
  release(room: string): void;
  /** The page is put aside: it would be kept from that by a lock, or others from what it holds. */
  suspend(): void;
  /** Look for what other tabs have left. */
  adopt(): void;
  close(): void;
}

export function createOutbox<Data>(options: OutboxOptions<Data>): Outbox<Data> {
  const { clock, random, limits, storage, changed } = options;
  const { maxItems = 100, maxBytes = 262_144, maxAgeMs = 600_000 } = options.settings ?? {};
  const lanes = new Map<string, PacedQueue<Said, Saved>>();
  let user = "";
  let isOnline = false;
  let isOpening: string | undefined;
  let largest = 16_384;
  /** How many there were when they were written down. */
  let kept = 0;
  /** What others have said, for when they are back. */
  let aside: Said[] = [];

  const view = createView(clock, () => [...lanes.keys()].flatMap((room) => of(room)));

  function all(): Item[] {
    return [...lanes.values()].flatMap((lane) => lane.items);
  }

  function of(room: string): Outgoing<Data>[] {
    return (lanes.get(room)?.items ?? []).map(show);
  }

  function show({ item, status, notBefore, attempts, error }: Item): Outgoing<Data> {
    const { client_id, created, room, content } = item;
    const said = { ...(content as Draft<Data>), client_id, room, created, status, attempts };
    return { ...said, ...(notBefore && { notBefore }), ...(error && { error }) };
  }

  function find(room: string, client_id: string): Item | undefined {
    return lanes.get(room)?.items.find(({ item }) => item.client_id === client_id);
  }

  function lane(room: string): PacedQueue<Said, Saved> {
    let queue = lanes.get(room);
    if (queue) return queue;
    queue = new PacedQueue<Said, Saved>({
      clock,
      random,
      maxAgeMs,
      maxItems: Infinity,
      stopAtFailure: true,
      gate: limits.gate("send", room),
      ready: () => isOnline && isOpening === undefined,
      refused: (error) => limits.refused(error, room),
      changed() {
        keep();
        view.touch();
        changed(room);
      },
      async start(item) {
        const { client_id, content } = item;
        item.isTried = true;
        keep(); // before it goes out
        const reply = await options.call({ cmd: "send", room, client_id, ...content });
        const { seq, at } = reply as unknown as { seq: number; at: string };
        const entry = find(room, client_id);
        if (entry) options.saved(room, seq, show(entry), at);
        return { seq, client_id };
      },
    });
    lanes.set(room, queue);
    return queue;
  }

  function add(said: Said): Item {
    const { room, created } = said;
    const ageMs = Math.max(0, Date.now() - created);
    const queue = lane(room);
    // Behind what was said before: what a former page has left goes first.
    const at = queue.items.findIndex(
      ({ item, status }) => status !== "sending" && item.created > created,
    );
    return queue.push(said, Math.min(ageMs, maxAgeMs), at < 0 ? undefined : at);
  }

  /** Write down what is there, if something came or went. */
  function keep(): void {
    if (storage && all().length !== kept) save();
  }

  function save(): void {
    kept = all().length;
    storage?.save(
      all().map(({ item: { client_id, room, created, content } }) => {
        return { client_id, room, created, content };
      }),
    );
  }

  /** Take in what was left in the storage, but for what we have. */
  function restore(found: readonly Kept[]): void {
    for (const each of found) {
      if (find(each.room, each.client_id)) continue;
      add({ ...each, by: user, bytes: JSON.stringify(each.content).length });
    }
    save();
  }

  function handle(entry: Item): SendHandle {
    const { client_id, room } = entry.item;
    return {
      client_id,
      sent: entry.done,
      cancel: () => find(room, client_id)?.status !== "sending" && drop(entry),
    };
  }

  function drop(entry: Item): boolean {
    return lane(entry.item.room).remove(entry, new ChatError("discarded", "Taken back."));
  }

  function kick(): void {
    for (const queue of lanes.values()) if (queue.items.length) queue.kick();
  }

  return {
    view,
    of,
    waiting: (room) => of(room).filter(({ status }) => status !== "sending").length,
    send(room, draft, client_id = options.randomUUID()) {
      const known = find(room, client_id);
      if (known) return handle(known);
      const said = typeof draft === "string" ? { text: draft } : draft;
      if (!said.open && !said.text.trim()) {
        throw new ChatError("bad_command", "There is no text.", undefined, undefined, "text");
      }
      // As it is now, whatever becomes of the object.
      const json = encode(said);
      const frame = encode({ cmd: "send", id: LARGEST_ID, room, client_id });
      const bytes = new TextEncoder().encode(frame + json).length;
      if (bytes > largest) throw new ChatError("too_large", "This is too long to be sent.");
      const others = all();
      const total = others.reduce((sum, { item }) => sum + item.bytes, bytes);
      if (others.length >= maxItems || total > maxBytes) {
        throw new ChatError("outbox_full", "Too much is waiting to be sent.");
      }
      const content = JSON.parse(json) as object;
      return handle(add({ client_id, room, content, bytes, by: user, created: Date.now() }));
    },
    retry(room, client_id) {
      const entry = find(room, client_id);
      if (entry) lane(room).retry(entry);
    },
    discard(room, client_id) {
      const entry = find(room, client_id);
      const shown = entry && show(entry);
      return entry && drop(entry) ? shown : undefined;
    },
    pending() {
      return Object.fromEntries(
        [...lanes].flatMap(([room, { items }]) => {
          const tried = items.filter(({ item }) => item.isTried);
          const ids = tried.slice(0, MAX_PENDING).map(({ item }) => item.client_id);
          return ids.length ? [[room, ids]] : [];
        }),
      );
    },
    landed(room, client_id, seq) {
      const entry = find(room, client_id);
      if (!entry) return;
      options.saved(room, seq, show(entry), undefined);
      lane(room).settle(entry, { seq, client_id });
    },
    start(who, bytes) {
      largest = bytes;
      const isAnother = who !== user;
      user = who;
      // What the former person has there stays theirs.
      if (isAnother) storage?.close();
      const back = aside.filter(({ by }) => by === who);
      aside = aside.filter(({ by }) => by !== who);
      for (const entry of all()) {
        const { item } = entry;
        item.by ||= who;
        if (item.by === who) continue;
        aside.push(item);
        const error = new ChatError("identity_changed", "Somebody else wrote this.");
        lane(item.room).remove(entry, error);
      }
      // No more than one person may have.
      aside = aside.slice(-maxItems);
      for (const item of back) add(item);
      // Not before: what stands behind one that is taken out would go.
      isOnline = true;
      if (storage && isAnother) {
        isOpening = who;
        void storage.open(who).then((found) => {
          if (isOpening !== who) return;
          isOpening = undefined;
          restore(found);
          kick();
        });
      } else {
        kick();
      }
    },
    stop() {
      isOnline = false;
      kick();
    },
    kick,
    release: (room) => lanes.get(room)?.release(),
    suspend: () => storage?.close(),
    adopt: () => void (isOpening === undefined && user && storage?.adopt().then(restore)),
    close() {
      isOnline = false;
      storage?.close();
      const error = new ChatError("closed", "The client was closed.");
      for (const entry of all()) lane(entry.item.room).remove(entry, error);
    },
  };
}
