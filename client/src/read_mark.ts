// How far one has read, and how much there is after it.

import type { RoomStanding } from "./link.js";
import type { Log } from "./timeline.js";
import { debounce } from "./timing.js";
import type { Author, Clock, Message, Store } from "./types.js";

const QUIET_MS = 500;
const LONGEST_MS = 2_000;

export interface ReadMark {
  readonly seq: number;
  /** Others' messages after it; stops at 100. */
  readonly unread: number;
  /** How the room stands, by the server. */
  stood(standing: RoomStanding): void;
  /** A message was applied. */
  applied(message: Message<any>): void;
  /** It is there, as one has said on this device or another; true if that is further. */
  move(seq: number): boolean;
  /** Tell the server, a moment after the last time. */
  say(): void;
  /** The server has counted. */
  counted(unread: number): void;
  /** Tell the server now, if it is to be told. */
  flush(): void;
}

/** @param send - says a mark to the server; what is lost is said again once the room stands */
export function createReadMark(
  clock: Clock,
  log: Log<any>,
  user: Store<Author | null>,
  send: (seq: number) => void,
): ReadMark {
  let seq = 0;
  let unread = 0;
  /** `unread` has what lies up to here. */
  let countedTo = 0;
  let reader: string | undefined;
  let epoch = "";
  const me = (): string | undefined => user.get()?.id;
  const say = debounce(() => send(seq), QUIET_MS, { maxWait: LONGEST_MS, clock });

  return {
    get seq() {
      return seq;
    },
    get unread() {
      return unread;
    },
    stood(standing) {
      // A mark is one person's own, in one life of the log.
      if (reader !== me() || epoch !== standing.epoch) seq = 0;
      reader = me();
      ({ epoch } = standing);
      const { read = 0, unread: count = 0, head } = standing;
      if (seq > read) say();
      else [seq, unread, countedTo] = [read, count, head];
    },
    applied(message) {
      if (message.author.id === me() || message.seq <= Math.max(seq, countedTo)) return;
      unread = Math.min(100, unread + 1);
    },
    move(to) {
      if (to <= seq) return false;
      seq = to;
      unread = log.unread(seq, me());
      countedTo = log.seq;
      return true;
    },
    say,
    counted(count) {
      unread = count;
    },
    flush: say.flush,
  };
}
