// A small model of the server behind the fake sockets: for faults that a real one cannot
// be made to have at a given moment. What it says is what docs/reference/protocol.md says.

import type { Author, Descriptor } from "../../src/types.js";
import type { FakeClock } from "./fake_clock.js";
import { FakeLimiter, type FakePolicy } from "./fake_limiter.js";
import { FakeRoom, type LogEvent } from "./fake_room.js";
import { FakeSockets, type FakeSocket, type SentCommand } from "./fake_socket.js";

export const ZOE: Author = { id: "g:1", kind: "guest", name: "Zoë" };
export const ADA: Author = { id: "u:5", kind: "user", name: "Ada" };

export const POLICIES: Record<string, FakePolicy> = {
  command: { burst: 60, perSecond: 2, key: "connection" },
  send: { burst: 10, perSecond: 1, key: "user and room" },
  "send.all": { burst: 20, perSecond: 1, key: "user" },
  typing: { burst: 1, perSecond: 1 / 3, key: "user and room" },
  history: { burst: 60, perSecond: 1, key: "user" },
  append: { burst: 40, perSecond: 20, key: "connection" },
};

type Refusal = { code: string; text?: string; [field: string]: unknown };

interface Appended {
  readonly seq: number;
  readonly at: number;
  readonly text: string;
  readonly state?: "done" | "cut" | "cancelled";
}

interface Session {
  readonly number: number;
  readonly socket: FakeSocket;
  user: Author | null;
  readonly watched: Set<string>;
}

const SENT = [
  "text",
  "client_id",
  "kind",
  "format",
  "data",
  "reply_to",
  "priority",
  "expires_in_ms",
  "open",
];

export class FakeServer {
  readonly sockets: FakeSockets;
  readonly limiter: FakeLimiter;
  readonly rooms = new Map<string, FakeRoom>();
  /** Every command that arrived, of all connections. */
  readonly commands: SentCommand[] = [];
  /** Who the next `hello` without a ticket of somebody else is. */
  identity: Author = ZOE;
  /** One way. */
  latencyMs = 10;
  /** Nobody gets in. */
  down = false;
  resumeLimit = 10_000;
  /** Whether a push is sent twice. */
  doubles: () => boolean = () => false;
  /** By how much longer a push takes than those after it. */
  late: () => number = () => 0;
  /** Whether the next part of a growing message is lost. */
  losesParts: () => boolean = () => false;
  /** A refusal that is not due to the limits. */
  refuse: (command: SentCommand) => Refusal | undefined = () => undefined;
  /** Whether the next event is left out, and told as a gap. */
  leavesOut: () => boolean = () => false;

  private readonly sessions = new Set<Session>();
  private numbers = 0;

  constructor(
    readonly clock: FakeClock,
    policies: Record<string, FakePolicy> = POLICIES,
  ) {
    this.limiter = new FakeLimiter(clock, { ...policies });
    this.sockets = new FakeSockets((socket) => {
      this.accept(socket);
    });
  }

  /** To give as the option `bootstrap`. */
  readonly bootstrap = async (): Promise<Descriptor> => ({
    url: "ws://chat.test/ws/chat/",
    protocol: "headgate.v1",
    ticket: `ticket-${++this.numbers}`,
    ticket_expires_in_ms: 30_000,
    rooms: [],
  });

  room(name: string): FakeRoom {
    let room = this.rooms.get(name);
    if (!room) this.rooms.set(name, (room = new FakeRoom(name)));
    return room;
  }

  /** Somebody else writes. */
  say(name: string, text: string, author: Author = ADA, more: object = {}): LogEvent {
    return this.publish(this.room(name), { push: "message", author, text, ...more });
  }

  edit(name: string, target: number, text: string, author: Author = ADA): LogEvent {
    return this.publish(this.room(name), { push: "edited", author, target, text });
  }

  erase(name: string, target: number, author: Author = ADA): LogEvent {
    return this.publish(this.room(name), { push: "deleted", author, target });
  }

  /** A message of somebody begins to grow. */
  begin(name: string, author: Author = ADA, more: object = {}): LogEvent {
    return this.publish(this.room(name), {
      push: "message",
      author,
      text: "",
      open: true,
      ...more,
    });
  }

  /** It has grown; what is told overlaps with what was, by so many code points. */
  grow(name: string, seq: number, more: string, overlap = 0): void {
    const growth = this.room(name).growing.get(seq)!;
    const at = Math.max(0, Array.from(growth.text).length - overlap);
    growth.text += more;
    if (!this.losesParts()) this.part(name, seq, at);
  }

  /** What there is of it from a code point on is told. */
  private part(name: string, seq: number, at: number): void {
    const text = Array.from(this.room(name).growing.get(seq)!.text).slice(at).join("");
    for (const session of this.sessions) {
      if (!session.watched.has(name)) continue;
      this.deliver(session, { push: "partial", room: name, seq, at, text });
    }
  }

  finish(name: string, seq: number, state: "done" | "cut" | "cancelled" = "done"): LogEvent {
    const room = this.room(name);
    const { author, format, data } = room.log[seq - 1]!;
    const { text } = room.growing.get(seq)!;
    room.growing.delete(seq);
    return this.publish(room, { push: "edited", author, target: seq, text, format, data, state });
  }

  /** A push to all who watch the room, or without one to all. */
  push(push: Record<string, unknown>): void {
    for (const session of this.sessions) {
      const room = push["room"];
      if (session.user && (typeof room !== "string" || session.watched.has(room))) {
        this.tell(session, push);
      }
    }
  }

  slowMode(name: string, ms: number): void {
    const room = this.room(name);
    room.slowModeMs = ms;
    const [exempt, moderates] = [ms > 0 && room.moderates, room.moderates];
    this.push({ push: "room", room: name, slow_mode_ms: ms, exempt, moderates });
  }

  /** The log is another one from now on, as after a backup was put back. */
  newEpoch(name: string, epoch: string): void {
    this.room(name).epoch = epoch;
    this.drop();
  }

  /** Every connection is gone; what was on its way, in either direction, is lost. */
  drop(code = 1006): void {
    for (const session of [...this.sessions]) this.end(session, code);
  }

  private end(session: Session, code: number): void {
    this.sessions.delete(session);
    session.socket.drop(code);
  }

  private accept(socket: FakeSocket): void {
    const session = { number: ++this.numbers, socket, user: null, watched: new Set<string>() };
    this.sessions.add(session);
    socket.received = (command) => {
      this.clock.setTimeout(() => {
        if (!this.sessions.has(session) || !socket.live) return;
        this.commands.push(command);
        this.handle(session, command);
      }, this.latencyMs);
    };
    this.clock.setTimeout(() => {
      if (!this.sessions.has(session)) return;
      if (this.down) this.end(session, 1006);
      else socket.open();
    }, this.latencyMs);
  }

  private tell(session: Session, frame: Record<string, unknown>, extraMs = 0): void {
    const text = JSON.stringify(frame);
    this.clock.setTimeout(() => {
      if (this.sessions.has(session)) session.socket.say(text);
    }, this.latencyMs + extraMs);
  }

  private publish(room: FakeRoom, event: Omit<LogEvent, "seq" | "at">): LogEvent {
    const added = room.add(event);
    const { text, open, target } = added as LogEvent & { text: string };
    if (open) room.growing.set(added.seq, { text, saved: text });
    if (added.push === "deleted") room.growing.delete(target!);
    const out = this.leavesOut();
    const [room_, seq] = [room.name, added.seq];
    for (const session of this.sessions) {
      if (!session.watched.has(room.name)) continue;
      if (out) this.tell(session, { push: "gap", room: room_, from: seq, to: seq });
      else this.deliver(session, room.now(added));
    }
    return added;
  }

  private deliver(session: Session, push: Record<string, unknown>): void {
    this.tell(session, push, this.late());
    if (this.doubles()) this.tell(session, push);
  }

  private handle(session: Session, command: SentCommand): void {
    const reply = (fields: object): void => {
      if (command.id !== undefined) this.tell(session, { reply: command.id, ...fields });
    };
    const refuse = (error: Refusal): void => {
      const { client_id } = command as { client_id?: string };
      const told = { text: error.code, ...error, ...(client_id ? { client_id } : {}) };
      this.tell(session, { reply: command.id ?? null, error: told });
    };
    const { user } = session;
    if (command.cmd === "hello") return this.hello(session, command);
    if (!user) return refuse({ code: "hello_expected" });
    if (command.cmd === "ping") return reply({});
    const refusal = this.refuse(command) ?? this.limited(session, command);
    if (refusal) return refuse(refusal);
    const room = this.room(command["room"] as string);
    if (room.refused) return refuse({ ...room.refused });
    switch (command.cmd) {
      case "join": {
        const { after, epoch } = command as { after?: number; epoch?: string };
        const { resume, ...standing } = this.join(session, room, after, epoch);
        reply({ room: room.name, ...standing });
        return resume();
      }
      case "leave":
        session.watched.delete(room.name);
        return reply({});
      case "send": {
        const known = room.find(user, command["client_id"] as string);
        if (known && known["text"] !== command["text"]) return refuse({ code: "id_conflict" });
        const content = Object.fromEntries(SENT.map((name) => [name, command[name]]));
        const { seq, at } =
          known ?? this.publish(room, { push: "message", author: user, ...content });
        return reply({ seq, at });
      }
      case "append": {
        const { seq, at, text, state } = command as unknown as Appended;
        const growth = room.growing.get(seq);
        if (room.log[seq - 1]?.author.id !== user.id) return refuse({ code: "forbidden" });
        if (!growth) return refuse({ code: "not_growing" });
        const there = Array.from(growth.text).length;
        if (at > there) return refuse({ code: "bad_offset", at: there });
        const more = Array.from(text)
          .slice(there - at)
          .join("");
        if (more) this.grow(room.name, seq, more);
        if (state) this.finish(room.name, seq, state);
        return reply({});
      }
      case "cancel": {
        const seq = command["seq"] as number;
        if (!room.growing.has(seq)) return refuse({ code: "not_growing" });
        const ended = this.finish(room.name, seq, "cancelled");
        return reply({ seq: ended.seq, at: ended.at });
      }
      case "edit":
      case "delete": {
        const target = command["target"] as number;
        const message = room.log[target - 1];
        if (message?.push !== "message") return refuse({ code: "not_found" });
        const gone = room.log.find((e) => e.push === "deleted" && e.target === target);
        if (gone && command.cmd === "edit") return refuse({ code: "not_found" });
        if (room.growing.has(target) && command.cmd === "edit") return refuse({ code: "growing" });
        const { seq, at } =
          command.cmd === "edit"
            ? this.publish(room, {
                ...{ push: "edited", author: user, target, text: command["text"] },
                ...{ format: command["format"], data: command["data"] },
              })
            : (gone ?? this.publish(room, { push: "deleted", author: user, target }));
        return reply({ seq, at });
      }
      case "read":
        if (!session.watched.has(room.name)) return refuse({ code: "not_joined" });
        room.read.set(user.id, Math.max(room.read.get(user.id) ?? 0, command["seq"] as number));
        return reply({});
      case "typing":
        return reply({});
      case "history":
        return reply(this.page(room, command));
      default:
        return refuse({ code: "unknown_command" });
    }
  }

  private hello(session: Session, command: SentCommand): void {
    session.user = this.identity;
    const resume = (command["resume"] ?? {}) as Record<string, { seq: number; epoch: string }>;
    const pending = (command["pending"] ?? {}) as Record<string, string[]>;
    const rooms: Record<string, object> = {};
    const after: (() => void)[] = [];
    for (const [name, place] of Object.entries(resume)) {
      const room = this.room(name);
      if (room.refused) {
        rooms[name] = { error: room.refused };
        continue;
      }
      const { resume: begin, ...standing } = this.join(session, room, place.seq, place.epoch);
      const landed: Record<string, number> = {};
      for (const id of Object.hasOwn(pending, name) ? pending[name]! : []) {
        const known = room.find(this.identity, id);
        if (known) landed[id] = known.seq;
      }
      rooms[name] = { ...standing, landed };
      after.push(begin);
    }
    const { limiter } = this;
    const policies = Object.keys(limiter.policies).filter((name) => name !== "slow_mode");
    const limits = policies.map((name) => limiter.told(name, this.key(session, name)));
    for (const name of session.watched) {
      const room = this.room(name);
      limits.push(limiter.told("send", this.key(session, "send", name), name));
      if (this.slow(room))
        limits.push(limiter.told("slow_mode", `${this.identity.id}/${name}`, name));
    }
    this.tell(session, {
      ...{ push: "welcome", user: this.identity, guest: `token-${this.identity.id}` },
      ...{ ticket: `ticket-${++this.numbers}`, rooms, limits },
      ...{ heartbeat_ms: 25_000, max_message_bytes: 16_384 },
    });
    for (const begin of after) begin();
  }

  /** Watch, and say how the room stands; `resume` sends what was missed. */
  private join(session: Session, room: FakeRoom, after?: number, epoch?: string) {
    session.watched.add(room.name);
    const user = session.user!;
    const read = room.read.get(user.id);
    const { head } = room;
    return {
      ...{ head, epoch: room.epoch, title: room.title },
      ...(read === undefined ? {} : { read }),
      unread: room.unread(read ?? 0),
      ...(room.slowModeMs ? { slow_mode_ms: room.slowModeMs } : {}),
      ...(room.moderates ? { moderates: true } : {}),
      ...(room.readOnly ? { read_only: true } : {}),
      resume: (): void => {
        if (after === undefined) return;
        const fits = epoch === undefined || epoch === room.epoch;
        if (!fits || after > head || head - after > this.resumeLimit) {
          this.tell(session, {
            ...{ push: "reset", room: room.name, oldest: Math.min(1, head) },
            ...{ head, epoch: room.epoch },
          });
        } else {
          for (const event of room.log.slice(after, head)) this.deliver(session, room.now(event));
        }
        for (const [seq, { text }] of room.growing) {
          this.deliver(session, { push: "partial", room: room.name, seq, at: 0, text });
        }
      },
    };
  }

  private page(room: FakeRoom, command: SentCommand): object {
    const { before, after, to, limit = 50 } = command as Record<string, any>;
    const told = { room: room.name, head: room.head, epoch: room.epoch };
    const now = (events: LogEvent[]): object[] => events.map((event) => room.now(event));
    if (command["of"] === "events") {
      const found = room.log.filter((e) => e.seq > (after ?? 0) && e.seq <= (to ?? Infinity));
      return { ...told, events: now(found.slice(0, limit)), more: found.length > limit };
    }
    const found = room.log.filter(
      (e) => e.push === "message" && e.seq < (before ?? Infinity) && e.seq > (after ?? 0),
    );
    const page = after === undefined ? found.slice(-limit) : found.slice(0, limit);
    return { ...told, messages: now(page), more: found.length > limit };
  }

  private limited(session: Session, command: SentCommand): Refusal | null {
    const name = command["room"] as string;
    const charges: [string, string][] = [];
    if (command.cmd === "append") charges.push(["append", this.key(session, "append")]);
    else if (command.cmd !== "leave") charges.push(["command", this.key(session, "command")]);
    if (command.cmd === "send" || command.cmd === "edit") {
      charges.push(["send", this.key(session, "send", name)]);
      charges.push(["send.all", this.key(session, "send.all")]);
    }
    if (command.cmd === "history") charges.push(["history", this.key(session, "history")]);
    if (command.cmd === "send" && this.slow(this.room(name))) {
      charges.push(["slow_mode", `${session.user!.id}/${name}`]);
    }
    const refusal = this.limiter.charge(charges);
    return refusal && { code: "rate_limited", text: "Too fast.", remaining: 0, ...refusal };
  }

  /** Whether the room is in slow mode for those who write here; it is then a policy, too. */
  private slow(room: FakeRoom): boolean {
    if (!room.slowModeMs || room.moderates) return false;
    const perSecond = 1000 / room.slowModeMs;
    this.limiter.policies["slow_mode"] = { burst: 1, perSecond, key: "user and room" };
    return true;
  }

  private key(session: Session, policy: string, room?: string): string {
    const by = this.limiter.policies[policy]?.key;
    const user = (session.user ?? this.identity).id;
    if (by === "connection") return `c${session.number}`;
    return by === "user" || room === undefined ? user : `${user}/${room}`;
  }
}
