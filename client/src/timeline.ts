// What of a room's log is loaded, and what each event does to it. It knows no connection
// and no time.

import { before, codePoints } from "./code_points.js";
import type { Gap, GrowthState, Message, Push } from "./types.js";

/** An event of the log, as a push or in a page. */
export interface LogEvent extends Push {
  readonly seq: number;
  readonly target?: number;
}

/** From a code point of a growing message on, what its text is. */
export interface Part {
  readonly seq: number;
  readonly at: number;
  readonly text: string;
}

/** What a deletion leaves of a message. */
const KEPT = ["room", "seq", "client_id", "author", "at", "edited"] as const;

export class Log<Data> {
  /** The last event that was applied, and the life of the log: "" is nothing yet. */
  seq = 0;
  epoch = "";
  private _messages: Message<Data>[] = [];
  /** Somebody was given the array: the next change makes another one. */
  private _isShown = false;
  /** How long texts are that grow: no part has them counted again. */
  private readonly _points = new WeakMap<Message<Data>, number>();
  gaps: Gap[] = [];
  hasOlder = false;

  /** In the order of their seqs; the array is another one after a change. */
  get messages(): readonly Message<Data>[] {
    this._isShown = true;
    return this._messages;
  }

  get oldest(): number | undefined {
    return this._messages[0]?.seq;
  }

  /** The newest page, in place of all that was there. */
  load(messages: readonly Message<Data>[], head: number, epoch: string, hasOlder: boolean): void {
    this._messages = [];
    this._isShown = false;
    this.gaps = [];
    this.merge(messages);
    this.seq = head;
    this.epoch = epoch;
    this.hasOlder = hasOlder;
  }

  clear(): void {
    this.load([], 0, "", false);
  }

  /** Messages as they were at some moment; of two versions the later one stays. */
  merge(messages: readonly Message<Data>[]): void {
    for (const message of messages) {
      const at = this._find(message.seq);
      const known = this._messages[at];
      if (known?.seq !== message.seq) this._change(at, 0, message);
      else if (!known.deleted && (known.edited ?? 0) <= (message.edited ?? 0)) {
        // What is saved of a growing text is behind what is told of it.
        const { open, text } = message;
        if (!open || (known.open && known.text.length <= text.length)) this._change(at, 1, message);
      }
    }
  }

  /** Do what an event says, wherever it stands in the log. */
  apply(event: LogEvent): void {
    const { push, ...fields } = event;
    if (push === "message") {
      this.merge([fields as unknown as Message<Data>]);
      return;
    }
    const at = this._find(event.target ?? 0);
    const message = this._messages[at];
    if (message?.seq !== event.target || message?.deleted) return;
    if (push === "edited" && (message!.edited ?? 0) < event.seq) {
      const { text, format, data } = fields as unknown as Message<Data>;
      const { format: _, data: __, open: ___, ...rest } = message!;
      const state = event["state"] as GrowthState | undefined;
      // With its end a message has become what it was to be: nobody has edited it.
      const how = !state ? { edited: event.seq } : state !== "done" && { state };
      this._change(at, 1, {
        ...{ ...rest, text, ...how },
        ...{ ...(format && { format }), ...(data && { data }) },
      });
    } else if (push === "deleted") {
      const rest = Object.fromEntries(
        KEPT.flatMap((field) => (message![field] === undefined ? [] : [[field, message![field]]])),
      ) as unknown as Message<Data>;
      this._change(at, 1, { ...rest, text: "", deleted: true });
    }
  }

  /** Do what a part says; false while its message is still to come. */
  grow({ seq, at, text }: Part): boolean {
    const place = this._find(seq);
    const message = this._messages[place];
    if (message?.seq !== seq || !message.open) return seq <= this.seq;
    const known = message.text;
    const ahead = (this._points.get(message) ?? codePoints(known)) - at;
    // Something is missing before it: a later part or the end brings it.
    if (ahead < 0) return true;
    const from = before(known, ahead);
    // It may be one that came before.
    if (known.startsWith(text, from)) return true;
    const grown = { ...message, text: known.slice(0, from) + text };
    this._points.set(grown, at + codePoints(text));
    this._change(place, 1, grown);
    return true;
  }

  /** Events were left out; what lies before the first of `filled` is there by now. */
  gap(from: number, to: number): void {
    if (from <= to) this.gaps = [...this.gaps, { from, to }];
  }

  /** The events of a gap up to `to` are there by now. */
  fill(gap: Gap, to: number): void {
    this.gaps = this.gaps.flatMap((each) => {
      if (each.from > to || each.to < gap.from) return [each];
      return to < each.to ? [{ from: to + 1, to: each.to }] : [];
    });
  }

  /** Forget all but the newest `keep` messages. */
  trim(keep: number): void {
    const surplus = this._messages.length - keep;
    if (surplus <= 0) return;
    this._change(0, surplus);
    this.hasOlder = true;
    const oldest = this.oldest ?? Infinity;
    this.gaps = this.gaps.filter(({ to }) => to > oldest);
  }

  /** Messages after a seq that somebody else has written; stops at 100. */
  unread(read: number, self: string | undefined): number {
    const after = this._messages.slice(this._find(read + 1));
    return Math.min(100, after.filter(({ author }) => author.id !== self).length);
  }

  private _change(at: number, without: number, ...put: Message<Data>[]): void {
    if (this._isShown) this._messages = [...this._messages];
    this._isShown = false;
    this._messages.splice(at, without, ...put);
  }

  /** The place of the first message with this seq or a higher one. */
  private _find(seq: number): number {
    // Nearly always at the end.
    let at = this._messages.length;
    while (at && this._messages[at - 1]!.seq >= seq) at--;
    return at;
  }
}
