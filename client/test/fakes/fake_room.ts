// A room's log, as the server keeps it.

import type { Author, Message } from "../../src/types.js";

export interface LogEvent {
  readonly push: "message" | "edited" | "deleted" | "membership";
  readonly seq: number;
  readonly author: Author;
  readonly at: string;
  readonly client_id?: string;
  readonly target?: number;
  readonly [field: string]: unknown;
}

const DROPPED = [
  ...["kind", "format", "data", "reply_to", "priority", "expires_in_ms"],
  ...["open", "state"],
];

/** A message that grows: what its author has said of it, and what is saved of that. */
interface Growth {
  text: string;
  saved: string;
}

export class FakeRoom {
  readonly log: LogEvent[] = [];
  epoch = "e1";
  title: string;
  slowModeMs = 0;
  moderates = false;
  readOnly = false;
  /** Why nobody may watch it, if so. */
  refused: { code: string; text: string; retry_after_ms?: number } | null = null;
  readonly read = new Map<string, number>();
  /** By the seq of the message. */
  readonly growing = new Map<number, Growth>();

  constructor(readonly name: string) {
    this.title = name;
  }

  get head(): number {
    return this.log.length;
  }

  add(event: Omit<LogEvent, "seq" | "at">): LogEvent {
    const seq = this.head + 1;
    const at = new Date(Date.UTC(2026, 0, 1) + seq * 1000).toISOString();
    const added = { ...event, seq, at } as LogEvent;
    this.log.push(added);
    return added;
  }

  find(author: Author, client_id: string | undefined): LogEvent | undefined {
    if (client_id === undefined) return undefined;
    return this.log.find((event) => event.client_id === client_id && event.author.id === author.id);
  }

  /** An event as it is read from the log now: a message carries what became of it. */
  now(event: LogEvent): Record<string, unknown> {
    const shown: Record<string, unknown> = { room: this.name, ...event };
    if (event.push === "message") {
      const growth = this.growing.get(event.seq);
      if (growth) shown["text"] = growth.saved;
      for (const later of this.log) {
        if (later.target !== event.seq) continue;
        if (later.push === "edited") {
          for (const field of ["text", "format", "data"]) {
            if (later[field] === undefined) Reflect.deleteProperty(shown, field);
            else shown[field] = later[field];
          }
          if (later["state"] === undefined) shown["edited"] = later.seq;
          else {
            Reflect.deleteProperty(shown, "open");
            if (later["state"] !== "done") shown["state"] = later["state"];
          }
        } else {
          for (const field of DROPPED) Reflect.deleteProperty(shown, field);
          Object.assign(shown, { text: "", deleted: true });
        }
      }
    }
    if (event.push === "edited") {
      const gone = this.log.some((e) => e.push === "deleted" && e.target === event.target);
      if (gone) Object.assign(shown, { text: "", deleted: true });
    }
    return shown;
  }

  /** All messages, as a fresh client would see them. */
  messages(): Message[] {
    const found = this.log.filter((event) => event.push === "message");
    return found.map((event) => {
      const { push: _, ...message } = this.now(event);
      return message as unknown as Message;
    });
  }

  unread(read: number): number {
    const after = this.log.filter((event) => event.push === "message" && event.seq > read);
    return Math.min(100, after.length);
  }
}
