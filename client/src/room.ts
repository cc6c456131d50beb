// A room as its users have it: what is loaded, what is to be sent, and the small things
// that are said only now and then.

import { createDraft } from "./draft.js";
import type { Emitter } from "./emitter.js";
import { createFollow } from "./follow.js";
import type { Limits } from "./limits.js";
import type { Command, Link, Reply, RoomStanding } from "./link.js";
import type { Outbox } from "./outbox.js";
import type { Platform } from "./platform.js";
import { createPages } from "./pages.js";
import { NOBODY, present } from "./presence.js";
import { createReadMark } from "./read_mark.js";
import { createStore } from "./store.js";
import { Log } from "./timeline.js";
import { refusal } from "./transport.js";
import type {
  Author,
  ClientEvents,
  ClientOptions,
  Draft,
  Message,
  Outgoing,
  Push,
  Room,
  Sent,
  Store,
  Timeline,
} from "./types.js";
import { createTyping } from "./typing.js";
import { createTypists } from "./typists.js";
import { createView } from "./view.js";

export interface RoomOptions<Data> {
  name: string;
  platform: Platform;
  settings: ClientOptions;
  link: Link;
  limits: Limits;
  outbox: Outbox<Data>;
  events: Emitter<ClientEvents<Data>>;
  user: Store<Author | null>;
  ask: (command: Command) => Promise<Reply>;
  /** It is joined from now on, or no longer. */
  watched: () => void;
}

/** A room, and what the client does with it. */
export interface OwnRoom<Data> {
  readonly room: Room<Data>;
  isWanted(): boolean;
  place(): { seq: number; epoch: string } | undefined;
  welcomed(standing: RoomStanding | undefined): void;
  heard(push: Push): void;
  lost(): void;
  /** The server has ended it. */
  removed(): void;
  unread(count: number): void;
  saved(seq: number, outgoing: Outgoing<Data>, at: string | undefined): void;
  changed(): void;
  /** Write down or say what has not been yet. */
  flush(): void;
}

export function createRoom<Data>(options: RoomOptions<Data>): OwnRoom<Data> {
  const { name, platform, settings, link, limits, outbox, events, user, ask } = options;
  const { clock } = platform;
  const maxMessages = settings.maxMessages ?? 1_000;
  const log = new Log<Data>();
  const presence = createStore(NOBODY);
  const typists = createTypists(clock);
  const allowance = limits.allowance(name, () => outbox.waiting(name));

  const mark = createReadMark(clock, log, user, (seq) => {
    void ask({ cmd: "read", room: name, seq }).catch(() => undefined);
  });

  let title = "";
  let moderates = false;
  let readOnly = false;
  /** How many messages are kept: more, once older ones were asked for. */
  let cap = maxMessages;
  let loading: Promise<void> | undefined;
  /** As whom one was welcome last. */
  let reader = "";

  const timeline = createView<Timeline<Data>>(clock, () => ({
    status: follow.status,
    messages: log.messages,
    unsent: outbox.of(name),
    gaps: log.gaps,
    hasOlder: log.hasOlder,
    loadingOlder: !!loading,
    title,
    head: log.seq,
    epoch: log.epoch,
    read: mark.seq,
    unread: mark.unread,
    moderates,
    readOnly,
    ...(follow.error && { error: follow.error }),
  }));

  const pages = createPages(name, log, ask, changed);
  const follow = createFollow<Data>({
    room: name,
    log,
    clock,
    pages,
    pace: settings.pace,
    ask,
    changed,
    stood(standing) {
      title = standing.title ?? name;
      moderates = !!standing.moderates;
      readOnly = !!standing.read_only;
      mark.stood(standing);
      // Where nobody is there, that is not told.
      presence.set(NOBODY);
      limits.slowMode(name, standing.slow_mode_ms ?? 0, moderates);
    },
    applied(event) {
      const { member } = event as unknown as { member?: Author };
      if (member?.id === user.get()?.id) outbox.release(name); // such as a mute that ended
      if (event.push !== "message") return;
      const { push: _, ...message } = event as unknown as Message<Data> & Push;
      const { author, client_id, seq } = message;
      typists.heard(author, false);
      mark.applied(message);
      if (client_id && author.id === user.get()?.id) outbox.landed(name, client_id, seq);
      // What is on its way fits onto the oldest one there is.
      if (!loading) log.trim(cap);
      events.emit("message", message);
    },
    gap: (gap) => events.emit("gap", { room: name, ...gap }),
    reset: () => events.emit("reset", { room: name }),
    failed: (error) => events.emit("error", error),
  });

  function changed(): void {
    timeline.touch();
    allowance.touch();
  }

  // --- what is said now and then ---

  const typing = createTyping(name, clock, link, limits);
  const draft = createDraft(name, platform, user);

  // --- what is done once ---

  async function change(cmd: string, fields: object): Promise<Sent> {
    const reply = await ask({ cmd, room: name, ...fields });
    return { seq: reply["seq"] as number, client_id: "" };
  }

  const room: Room<Data> = {
    name,
    timeline,
    allowance,
    typists: typists.view,
    presence,
    draft: draft.store,
    join() {
      const isNew = follow.status === "idle";
      follow.start(link.state.get().status === "online");
      if (isNew) options.watched();
      link.open();
    },
    leave() {
      if (follow.status === "idle") return;
      follow.stop();
      typing.forget();
      typists.clear();
      presence.set(NOBODY);
      mark.flush();
      // In its turn: a join may wait still.
      void ask({ cmd: "leave", room: name }).catch(() => undefined);
      cap = maxMessages;
      options.watched();
    },
    send(said, { client_id } = {}) {
      const handle = outbox.send(name, said, client_id);
      typing.forget();
      link.open();
      return handle;
    },
    retry: (client_id) => outbox.retry(name, client_id),
    discard: (client_id) => outbox.discard(name, client_id),
    edit(seq, said) {
      const { text, format, data } =
        typeof said === "string" ? ({ text: said } as Draft<Data>) : said;
      return change("edit", { target: seq, text, format, data });
    },
    delete: (seq) => change("delete", { target: seq }),
    async append(seq, at, text, state) {
      await ask({ cmd: "append", room: name, seq, at, text, state });
    },
    cancel: (seq) => change("cancel", { seq }),
    typing: (on = true) => typing.say(on),
    markRead(seq) {
      if (!mark.move(Math.min(seq, log.seq))) return;
      mark.say();
      timeline.touch();
    },
    setDraft: draft.set,
    loadOlder() {
      const { oldest } = log;
      if (!log.hasOlder || oldest === undefined) return Promise.resolve();
      loading ??= pages.older(oldest).finally(() => {
        loading = undefined;
        cap = Math.max(cap, log.messages.length);
        timeline.touch();
      });
      timeline.touch();
      return loading;
    },
    fillGap: pages.fill,
    trim(keep) {
      cap = Math.max(keep, maxMessages);
      log.trim(keep);
      timeline.touch();
    },
  };

  return {
    room,
    isWanted: () => follow.status !== "idle",
    place: () => (follow.isKnown() ? { seq: log.seq, epoch: log.epoch } : undefined),
    welcomed(standing) {
      for (const [id, seq] of Object.entries(standing?.landed ?? {})) outbox.landed(name, id, seq);
      const { id } = user.get()!;
      // What one person may see is not for the next.
      if (reader && reader !== id && log.epoch) {
        log.clear();
        events.emit("reset", { room: name });
      }
      reader = id;
      follow.welcomed(standing);
    },
    heard(push) {
      const { author, seq } = push as unknown as { author: Author; seq: number };
      const isOwn = author?.id === user.get()?.id;
      switch (push.push) {
        case "typing":
          if (!isOwn) typists.heard(author, !!push["typing"]);
          break;
        case "presence":
          presence.set(present(presence.get(), push));
          break;
        case "read":
          if (isOwn && mark.move(seq)) timeline.touch();
          break;
        case "room":
          moderates = !!push["moderates"];
          readOnly = !!push["read_only"];
          limits.slowMode(name, push["slow_mode_ms"] as number, !!push["exempt"]);
          timeline.touch();
          break;
        default:
          if (seq || push.push === "gap" || push.push === "reset") follow.heard(push);
      }
    },
    lost() {
      follow.lost();
      typing.forget();
      typists.clear();
    },
    removed: () =>
      follow.refuse(refusal({ code: "forbidden", text: "You may watch this room no longer." })),
    unread(count) {
      mark.counted(count);
      timeline.touch();
    },
    saved(seq, outgoing, at) {
      const author = user.get();
      // Shown until its push is here, which may be some events away.
      if (!at || !author || !follow.isKnown() || seq <= log.seq) return;
      const { status: _, attempts: __, created: ___, notBefore: ____, ...said } = outgoing;
      log.merge([{ ...said, seq, author, at }]);
    },
    changed,
    flush() {
      mark.flush();
      draft.flush();
    },
  };
}
