// What the client gives to the code that uses it: the words of the wire as they are
// (snake_case, as in docs/reference/protocol.md), and around them the client's own.
//
// Times that end in `At` are milliseconds on the client's clock (`performance.now()`
// unless another one is given): they never jump, and mean nothing outside the page.

import type { ChatError } from "./errors.js";

// --- of the wire ---

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = { readonly [name: string]: Json };

export interface Author {
  readonly id: string;
  readonly kind: "user" | "guest" | "bot" | "system" | "deleted";
  readonly name: string;
  readonly avatar_url?: string;
}

export type Format = "plain" | "markdown";
export type Priority = "high" | "normal" | "low";
/** How a message that grew has ended: whole, broken off, or stopped by somebody. */
export type GrowthState = "done" | "cut" | "cancelled";

/** A message as it is now. `data` is typed by the client's generic, and not checked. */
export interface Message<Data = JsonObject> {
  readonly room: string;
  readonly seq: number;
  readonly client_id?: string;
  readonly author: Author;
  /** Empty where it is deleted. */
  readonly text: string;
  /** ISO 8601, UTC, the server's clock. */
  readonly at: string;
  /** `text` if left out; `system` is the server's own. */
  readonly kind?: string;
  readonly format?: Format;
  readonly data?: Data;
  readonly reply_to?: number;
  readonly priority?: Priority;
  readonly expires_in_ms?: number;
  /** The seq of the last edit. */
  readonly edited?: number;
  readonly deleted?: boolean;
  /** Its text is still growing. */
  readonly open?: boolean;
  /** How it ended, where it grew and is not whole. */
  readonly state?: Exclude<GrowthState, "done">;
}

/** What one may say: `text`, and what else the command `send` takes. */
export interface Draft<Data = JsonObject> {
  readonly text: string;
  readonly kind?: string;
  readonly format?: Format;
  readonly data?: Data;
  readonly reply_to?: number;
  readonly priority?: Priority;
  readonly expires_in_ms?: number;
  /** Its text will grow, by `append`; it may be empty. */
  readonly open?: boolean;
}

/** A policy as the server announces it: `welcome.limits`, descriptors, `GET limits`. */
export interface AnnouncedLimit {
  readonly policy: string;
  readonly key: string;
  readonly burst: number;
  readonly per_second: number;
  readonly remaining?: number;
  readonly retry_after_ms?: number;
  readonly room?: string;
}

/** What it takes to connect; `POST connect`, `Headgate-Connect`, `headgate.descriptor()`. */
export interface Descriptor {
  readonly url: string;
  readonly protocol: string;
  readonly ticket: string;
  readonly ticket_expires_in_ms: number;
  readonly rooms: readonly string[];
  readonly limits?: readonly AnnouncedLimit[];
  readonly user?: Author;
  readonly guest?: string;
}

/** A push as it came: for `client.on("push", …)`, and for pushes that are newer than this. */
export interface Push {
  readonly push: string;
  readonly room?: string;
  readonly seq?: number;
  readonly [field: string]: unknown;
}

// --- observing ---

/** A value that changes as a whole: `get` gives the same object until it does. */
export interface Store<T> {
  get(): T;
  /** Call `listener` after each change; the answer ends that. */
  subscribe(listener: () => void): () => void;
}

/** Why there is no connection, or no more. */
export interface Reason {
  /** A close code of the wire (4000…), a WebSocket's own (1006…), an HTTP status, or 0. */
  readonly code: number;
  /** For people, in the server's words where it said some. */
  readonly text: string;
  readonly by: "client" | "server" | "network" | "heartbeat" | "http";
}

export type ConnectionState =
  /** Nothing was asked for yet. */
  | { readonly status: "idle" }
  | { readonly status: "connecting"; readonly attempt: number }
  | { readonly status: "online"; readonly since: number; readonly transport: Transport }
  /** The next try is at `nextTryAt`: what a countdown counts to. */
  | {
      readonly status: "waiting";
      readonly attempt: number;
      readonly nextTryAt: number;
      readonly reason: Reason;
    }
  /** The browser says that there is no network; it goes on by itself. */
  | { readonly status: "offline"; readonly reason: Reason }
  /** Hidden for long, or put aside by the browser; it goes on when the page is seen. */
  | { readonly status: "paused" }
  /** For good: by `close()`, or since the server said not to come back. */
  | { readonly status: "closed"; readonly reason: Reason };

export type Transport = "websocket" | "event-stream";

/** A limit and what is left of it, as far as the client can tell. */
export interface Limit {
  readonly policy: string;
  /** Left out for limits that count all rooms together. */
  readonly room?: string;
  readonly burst: number;
  readonly perSecond: number;
  /** What is left now; whole. */
  readonly remaining: number;
  /** When there is one again, or null while there is one. */
  readonly freeAt: number | null;
  /** Who said so last. */
  readonly source: "default" | "announced" | "refusal" | "http";
}

/** Whether one may send to a room now, all of its limits taken together. */
export interface Allowance {
  /** How many can go at once. */
  readonly remaining: number;
  /** The burst of the limit that is nearest to its end. */
  readonly burst: number;
  /** When the next can go, or null: now. What waits in the outbox is counted in. */
  readonly freeAt: number | null;
  /** Whole seconds until then, at least 1 while there is a wait: ticks once a second. */
  readonly secondsLeft: number;
  /** The limit that says so: `send`, `send.all`, `slow_mode`, `command`; else null. */
  readonly policy: string | null;
  /** The room's slow mode; 0 where there is none or one is exempt. */
  readonly slowModeMs: number;
}

export type OutgoingStatus = "queued" | "waiting" | "sending" | "failed";

/** A message of one's own that the server has not acknowledged. */
export interface Outgoing<Data = JsonObject> extends Draft<Data> {
  readonly client_id: string;
  readonly room: string;
  /**
   * `queued`: behind another or without a connection; `waiting`: for a limit, until
   * `notBefore`; `sending`: on its way; `failed`: for `retry` or `discard`.
   */
  readonly status: OutgoingStatus;
  readonly notBefore?: number;
  /** Tries that failed; waiting for a limit is none. */
  readonly attempts: number;
  /** `Date.now()` when it was written. */
  readonly created: number;
  readonly error?: ChatError;
}

export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** A room as one sees it: what is loaded, and what is still to be sent. */
export interface Timeline<Data = JsonObject> {
  /** `loading` until the first page is there; `stale` while there is no connection. */
  readonly status: "idle" | "loading" | "live" | "stale" | "refused";
  /** In the order of their seqs. */
  readonly messages: readonly Message<Data>[];
  /** One's own that are not acknowledged, in the order in which they go. */
  readonly unsent: readonly Outgoing<Data>[];
  /** Events that the server left out on purpose; `fillGap` fetches them. */
  readonly gaps: readonly Gap[];
  readonly hasOlder: boolean;
  readonly loadingOlder: boolean;
  readonly title: string;
  /** The seq of the last event that was applied, and the life of the log. */
  readonly head: number;
  readonly epoch: string;
  /** One's own read mark. */
  readonly read: number;
  /** Messages after the read mark; stops at 100. */
  readonly unread: number;
  /** Whether one may mute, ban, delete others' messages and set the slow mode here. */
  readonly moderates: boolean;
  /** Whether one may watch but not write. */
  readonly readOnly: boolean;
  /** Why, where `status` is `refused`. */
  readonly error?: ChatError;
}

export interface Presence {
  /** Everybody who is there, by when they came. */
  readonly here: readonly Author[];
  /** Too many to be told. */
  readonly off: boolean;
}

// --- errors ---

/** Codes of this client, beside those of the wire. */
export type ClientErrorCode =
  /** The connection was lost before the answer. */
  | "lost"
  /** The client was closed, or may not come back. */
  | "closed"
  /** The outbox is full; nothing was queued. */
  | "outbox_full"
  /** It waited longer than `outbox.maxAgeMs`. */
  | "expired"
  /** The person has become another one since it was written; it waits for their return. */
  | "identity_changed"
  /** `discard` or `cancel`. */
  | "discarded"
  /** HTTP gave no usable answer. */
  | "http";

// --- the client ---

/** What was saved. */
export interface Sent {
  readonly seq: number;
  readonly client_id: string;
}

export interface SendHandle {
  readonly client_id: string;
  /**
   * Settles when the message is saved, or has failed for good: with a `ChatError`.
   * It may be left alone: no unhandled rejection comes of it.
   */
  readonly sent: Promise<Sent>;
  /** Take it back; false where it is too late. */
  cancel(): boolean;
}

export interface Room<Data = JsonObject> {
  readonly name: string;
  readonly timeline: Store<Timeline<Data>>;
  readonly allowance: Store<Allowance>;
  /** Who is writing, without oneself. */
  readonly typists: Store<readonly Author[]>;
  readonly presence: Store<Presence>;
  /** One's own unfinished text, kept across reloads where there is a storage. */
  readonly draft: Store<string>;

  /** Watch the room: load its newest page, then stay live. Called again it does nothing. */
  join(): void;
  /** Watch it no longer; its timeline is emptied. */
  leave(): void;
  /**
   * Say something. It is queued, paced and sent once, in order.
   *
   * @throws ChatError `outbox_full`, `too_large` or `bad_command` (empty): nothing was queued.
   */
  send(draft: string | Draft<Data>, options?: { client_id?: string }): SendHandle;
  /** Send a failed message again, with the same `client_id`. */
  retry(client_id: string): void;
  /** Give up a message that is not acknowledged; returns what it said. */
  discard(client_id: string): Outgoing<Data> | undefined;
  edit(seq: number, draft: string | Draft<Data>): Promise<Sent>;
  delete(seq: number): Promise<Sent>;
  /**
   * Add to one's own growing message, from a code point of its text on; with a state it
   * ends. `headgate/grow` counts, gathers and resumes by itself.
   *
   * Rejects with `bad_offset` where the text ends before `at`, and says where in the
   * error's `at`; with `not_growing` where it has ended.
   */
  append(seq: number, at: number, text: string, state?: GrowthState): Promise<void>;
  /** Stop a message that grows: one's own, an answer to oneself, or as a moderator any. */
  cancel(seq: number): Promise<Sent>;
  /** Say that one writes, or no longer; throttled, and lost while there is no connection. */
  typing(on?: boolean): void;
  /** Move the read mark; debounced, sent at once when the page is hidden, and after a reconnection. */
  markRead(seq: number): void;
  setDraft(text: string): void;
  /** Load the page before the oldest message. */
  loadOlder(): Promise<void>;
  fillGap(gap: Gap): Promise<void>;
  /** Forget all but the newest `keep` messages. */
  trim(keep: number): void;
}

export interface ClientEvents<Data = JsonObject> {
  /** A message that is new: live, or missed while one was away. Not older pages. */
  message: Message<Data>;
  /** Events left out by outgoing throttling. */
  gap: Gap & { readonly room: string };
  /** What was known of the room no longer fits; it loads itself afresh. */
  reset: { readonly room: string };
  /** Rooms that one gained, lost, or that have other unread counts. */
  rooms: {
    readonly joined?: readonly string[];
    readonly left?: readonly string[];
    readonly unread?: Readonly<Record<string, number>>;
  };
  /** Every push, before it is applied. */
  push: Push;
  /** What no call can be rejected with. */
  error: ChatError;
}

export interface Client<Data = JsonObject> {
  readonly state: Store<ConnectionState>;
  /** Who one is, once the server has said so. */
  readonly user: Store<Author | null>;
  readonly limits: Store<readonly Limit[]>;
  /** What is not acknowledged, in all rooms. */
  readonly outbox: Store<readonly Outgoing<Data>[]>;
  /** The rooms that are joined. */
  readonly rooms: Store<readonly string[]>;
  /** The clock that times ending in `At` are on: for countdowns. */
  readonly clock: Clock;

  /** Connect; done by itself at the first `join`, `send` or `attach`. */
  connect(): void;
  /**
   * Connect as a descriptor says, and join its rooms. While one is online it is told who
   * it is for by its `user`, or by being a guest's: another person is connected anew.
   */
  attach(descriptor: Descriptor): void;
  /** `fetch`, whose answers connect the client and teach it its limits. */
  readonly fetch: typeof fetch;
  /** The room of a name: the same object each time. */
  room(name: string): Room<Data>;
  /** Do not wait for the next try. */
  retryNow(): void;
  /** Take another name, for guests: connects anew. */
  rename(name: string): void;
  /** Resolves at the next moment online; rejects with `closed`. */
  ready(): Promise<void>;
  /** End for good. What was not sent stays in the storage, where there is one. */
  close(): void;
  on<Name extends keyof ClientEvents<Data>>(
    name: Name,
    listener: (event: ClientEvents<Data>[Name]) => void,
  ): () => void;
}

export interface ClientOptions {
  /**
   * Where tickets come from: the URL of `POST connect`, or a function that gives a
   * descriptor. Without it, `attach` is needed.
   */
  bootstrap?: string | ((signal: AbortSignal) => Promise<Descriptor>);
  /** Rooms to join at once. */
  rooms?: readonly string[];
  /** The name that a guest wants. */
  name?: string;
  /** Sent in `hello`, for the server's logs. */
  agent?: string;
  /** Headers of the client's own requests, such as a token; asked for each time. */
  headers?: () => Record<string, string>;

  /** Waiting before another try; milliseconds. */
  reconnect?: { minMs?: number; maxMs?: number; stableMs?: number; connectTimeoutMs?: number };
  /** How much may wait to be acknowledged, and for how long. */
  outbox?: { maxItems?: number; maxBytes?: number; maxAgeMs?: number; persist?: boolean };
  /** Messages that a timeline keeps; older ones are forgotten, and can be loaded. */
  maxMessages?: number;
  /** A cap on what the server sends of each room, such as `5/s`. */
  pace?: string;

  // What the platform gives, for places that have something else or nothing.
  WebSocket?: WebSocketConstructor;
  fetch?: typeof fetch;
  /** For drafts, the guest's identity and, with `outbox.persist`, what is unsent. */
  storage?: KeyValueStorage | null;
  lifecycle?: Lifecycle | null;
  clock?: Clock;
  /** Numbers in [0, 1). */
  random?: () => number;
  randomUUID?: () => string;
}

export interface WebSocketConstructor {
  new (url: string, protocols?: string | string[]): WebSocketLike;
}

/** The part of a WebSocket that is used; `ws`, `undici` and React Native have it. */
export interface WebSocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
}

/** `localStorage` fits. It may throw: then nothing is kept. */
export interface KeyValueStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Whether the page is seen and has a network, and when that changes. */
export interface Lifecycle {
  online(): boolean;
  visible(): boolean;
  /** `suspend`: the page is put aside or frozen now; `resume`: it is back. */
  subscribe(
    listener: (event: "online" | "offline" | "visible" | "hidden" | "suspend" | "resume") => void,
  ): () => void;
}

export interface Clock {
  /** Milliseconds; never runs backwards. */
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
}
