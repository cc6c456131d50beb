// Between the two halves of the client: what the rooms and the outbox ask of the
// connection. `connection.ts` implements `Link`; `client.ts` is its `Owner`.

import type { AnnouncedLimit, Author, ConnectionState, Descriptor, Push, Store } from "./types.js";

export interface Command {
  readonly cmd: string;
  readonly [field: string]: unknown;
}

export interface Reply {
  readonly reply: number;
  readonly [field: string]: unknown;
}

/** How a room stands: in `welcome.rooms` and in the reply of `join`. */
export interface RoomStanding {
  readonly head: number;
  readonly epoch: string;
  readonly title?: string;
  readonly read?: number;
  readonly unread?: number;
  readonly slow_mode_ms?: number;
  readonly moderates?: boolean;
  readonly read_only?: boolean;
  readonly landed?: Readonly<Record<string, number>>;
  readonly error?: WireError;
}

export interface WireError {
  readonly code: string;
  readonly text: string;
  readonly field?: string;
  readonly policy?: string;
  readonly retry_after_ms?: number;
  readonly remaining?: number;
  readonly client_id?: string;
  readonly at?: number;
}

export interface Welcome extends Push {
  readonly user: Author;
  readonly guest?: string;
  readonly ticket?: string;
  readonly rooms: Readonly<Record<string, RoomStanding>>;
  readonly limits: readonly AnnouncedLimit[];
  readonly heartbeat_ms: number;
  readonly max_message_bytes: number;
}

/** What `hello` says beside who one is; asked for at each new connection. */
export interface Resume {
  readonly resume: Readonly<Record<string, { seq: number; epoch: string }>>;
  readonly pending: Readonly<Record<string, readonly string[]>>;
  /** Rooms to watch of which nothing is known yet: the event stream needs them too. */
  readonly rooms: readonly string[];
}

export interface Owner {
  resume(): Resume;
  /** Online: called before any other push of the connection. */
  welcomed(welcome: Welcome): void;
  /** Every other push, in the order in which they came. */
  heard(push: Push): void;
  /** The connection is gone; calls that had no answer were rejected with `lost` before. */
  lost(): void;
  /** `Retry-After` and `RateLimit` fields of an HTTP answer. */
  taught(answer: Response): void;
  /** A descriptor came, from `bootstrap`, `attach` or `fetch`: its rooms are to be joined. */
  described?(descriptor: Descriptor): void;
}

export interface Link {
  readonly state: Store<ConnectionState>;
  open(): void;
  attach(descriptor: Descriptor): void;
  retryNow(): void;
  /** Connect anew, as a guest of this name. */
  rename(name: string): void;
  close(): void;
  /** `fetch`; what answers say goes to `attach` and to `Owner.taught`. */
  readonly fetch: typeof fetch;
  /**
   * Send a command and wait for its reply. Over the event stream it becomes an HTTP
   * request with the same answer.
   *
   * Rejects with a ChatError: the server's refusal, or `lost`.
   */
  call(command: Command): Promise<Reply>;
  /** Send a command that needs no answer; dropped where there is no connection. */
  post(command: Command): void;
}
