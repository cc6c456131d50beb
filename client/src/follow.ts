// Keeps what is loaded of a room level with the server's log: the first page, then every
// event in its order, whatever is lost, doubled or late on the way.

import { hint } from "./backoff.js";
import { type Alarm, createAlarm } from "./clock.js";
import { type ChatError, isTransient } from "./errors.js";
import type { Command, Reply, RoomStanding } from "./link.js";
import { type Pages, plain } from "./pages.js";
import type { Log, LogEvent, Part } from "./timeline.js";
import { refusal } from "./transport.js";
import type { Clock, Gap, Push } from "./types.js";

// Whoever waits for a page holds no more than this; what is let go is fetched.
const MAX_HELD = 1_000;
/** What comes too early may be due to what comes too late. */
const HOLE_MS = 500;
// Where the server did not get to it, and there is a connection still.
const AGAIN_MS = 2_000;
const AGAIN_LONGEST_MS = 30_000;

export interface FollowOptions<Data> {
  room: string;
  log: Log<Data>;
  clock: Clock;
  pages: Pages;
  pace: string | undefined;
  /** Ask the server, no faster than it allows. */
  ask: (command: Command) => Promise<Reply>;
  /** How the room stands, from `welcome` or `join`. */
  stood: (standing: RoomStanding) => void;
  /** An event that is new was applied. */
  applied: (event: LogEvent) => void;
  gap: (gap: Gap) => void;
  reset: () => void;
  failed: (error: ChatError) => void;
  changed: () => void;
}

export interface Follow {
  status: "idle" | "loading" | "live" | "stale" | "refused";
  error: ChatError | undefined;
  /** Begin, or begin again where the room was refused. */
  start(isOnline: boolean): void;
  /** A connection is there. `standing` is left out where it does not know of the room. */
  welcomed(standing: RoomStanding | undefined): void;
  heard(push: Push): void;
  lost(): void;
  refuse(error: ChatError): void;
  /** Begin no more. */
  stop(): void;
  /** Where to go on from at the next connection. */
  isKnown(): boolean;
}

/** Whether the same may be answered if it is asked again. */
function isPassing({ code }: ChatError): boolean {
  return isTransient(code) || code === "lost" || code === "outbox_full";
}

/** Where an event or a gap begins in the log. */
function beginning(push: Push): number {
  return push.push === "gap" ? (push["from"] as number) : push.seq!;
}

export function createFollow<Data>(options: FollowOptions<Data>): Follow {
  const { room, log, clock, pages, ask } = options;
  /** Grows whenever what was begun before is of no use any more. */
  let turn = 0;
  /** The server sends what is new, or was asked to. */
  let isWatching = false;
  let isJoined = false;
  /** The page is there, and what came meanwhile can be applied. */
  let isLoaded = false;
  /** A hole was seen, and the time to wait for it runs. */
  let isDue = false;
  let isFetching = false;
  let held: Push[] = [];
  /** Parts of growing messages that are not here yet. */
  let parts: Part[] = [];
  /** Requests in a row that the server did not get to. */
  let failures = 0;
  /** The head at the last welcome: what lies before it was missed. */
  let goal = 0;

  const hole: Alarm = createAlarm(clock, () => void fetchHole());
  const rejoin: Alarm = createAlarm(clock, () => void begin());

  function later(hintMs = 0): number {
    const waitMs = Math.min(AGAIN_LONGEST_MS, AGAIN_MS * 2 ** failures++);
    return clock.now() + Math.max(waitMs, hintMs);
  }

  function show(): void {
    if (self.status !== "refused" && self.status !== "idle") {
      self.status = !log.epoch ? "loading" : isJoined && log.seq >= goal ? "live" : "stale";
    }
    options.changed();
  }

  /** Load the room where nothing is known of it, and join it where it is not joined. */
  async function begin(): Promise<void> {
    const mine = ++turn;
    try {
      if (!log.epoch) {
        const page = await pages.newest();
        if (mine !== turn) return;
        log.load(page.messages.map(plain), page.head, page.epoch, page.more);
        show();
      }
      if (!isJoined) {
        const { pace } = options;
        const place = { after: log.seq, epoch: log.epoch };
        isWatching = true; // events may be here before the reply is seen
        const reply = await ask({ cmd: "join", room, ...place, ...(pace && { pace }) });
        if (mine !== turn) return;
        stand(reply as unknown as RoomStanding);
      }
      isLoaded = true;
      failures = 0;
      drain();
      show();
    } catch (error) {
      if (mine !== turn) return;
      if (isPassing(error as ChatError)) rejoin.set(later());
      else refuse(error as ChatError);
    }
  }

  function stand(standing: RoomStanding): void {
    isWatching = isJoined = true;
    goal = log.epoch === standing.epoch ? standing.head : 0;
    options.stood(standing);
  }

  function refuse(error: ChatError): void {
    cut();
    self.status = "refused";
    self.error = error;
    options.changed();
  }

  function cut(): void {
    forget();
    isWatching = false;
  }

  /** Let go of what was begun, and of what came meanwhile. */
  function forget(): void {
    turn++;
    isJoined = isLoaded = isDue = isFetching = false;
    held = [];
    parts = [];
    hole.off();
    rejoin.off();
  }

  /** Throw away what is known, and load it afresh. */
  function restart(): void {
    const wasKnown = log.epoch !== "";
    log.clear();
    // The standing is out of date as well: it is joined again.
    forget();
    if (wasKnown) options.reset();
    show();
    void begin();
  }

  /** Apply what follows on; false where something is missing before it. */
  function step(push: Push): boolean {
    const from = beginning(push);
    const to = push.push === "gap" ? (push["to"] as number) : from;
    if (from > log.seq + 1) return false;
    if (to > log.seq) {
      const gap = { from: log.seq + 1, to };
      if (push.push === "gap") log.gap(gap.from, to);
      else log.apply(push as LogEvent);
      log.seq = to;
      if (push.push === "gap") options.gap(gap);
      else options.applied(push as LogEvent);
    }
    return true;
  }

  /** Apply what is held as far as it follows on. */
  function drain(): void {
    // The newest shows how much is to be fetched.
    if (held.length > MAX_HELD) held = held.slice(-1);
    if (!isLoaded) return;
    held.sort((one, other) => beginning(one) - beginning(other));
    let done = 0;
    while (held[done] && step(held[done]!)) done++;
    held.splice(0, done);
    grow();
    if (isFetching) return;
    if (!held[0]) hole.off();
    else if (!isDue) hole.set(clock.now() + HOLE_MS);
    isDue = !!held[0];
  }

  function grow(): void {
    parts = parts.filter((part) => !log.grow(part)).slice(-MAX_HELD);
  }

  async function fetchHole(): Promise<void> {
    const mine = turn;
    isDue = false;
    isFetching = true;
    try {
      while (held[0]) {
        const to = beginning(held[0]) - 1;
        const page = await pages.events(log.seq, to);
        if (mine !== turn) return;
        if (page.epoch !== log.epoch) return restart();
        for (const event of page.events) {
          // What lies between is not ours to see.
          if (event.seq > log.seq + 1) log.seq = event.seq - 1;
          step(event);
        }
        if (!page.more) log.seq = Math.max(log.seq, to);
        drain();
        show();
      }
      isFetching = false;
      failures = 0;
    } catch (error) {
      if (mine !== turn) return;
      isFetching = false;
      options.failed(error as ChatError);
      if (!isPassing(error as ChatError)) return;
      isDue = true;
      hole.set(later());
    }
  }

  const self: Follow = {
    status: "idle",
    error: undefined,
    refuse,
    start(isOnline) {
      if (self.status !== "idle" && self.status !== "refused") return;
      cut();
      self.error = undefined;
      self.status = "loading";
      if (isOnline) void begin();
      show();
    },
    welcomed(standing) {
      if (self.status === "idle") return;
      cut();
      const error = standing?.error;
      if (error && (error.retry_after_ms || isTransient(error.code))) {
        rejoin.set(later(hint(error.retry_after_ms)));
        return;
      }
      if (error) {
        refuse(refusal(error));
        return;
      }
      self.error = undefined;
      self.status = "loading";
      if (standing) stand(standing);
      void begin();
    },
    heard(push) {
      if (!isWatching) return;
      if (push.push === "reset") {
        if (push["epoch"] !== log.epoch || push["head"] !== log.seq) restart();
      } else if (push.push === "partial") {
        parts.push(push as Push & Part);
        grow();
        options.changed();
      } else {
        held.push(push);
        drain();
        show();
      }
    },
    lost() {
      cut();
      show();
    },
    stop() {
      cut();
      log.clear();
      self.status = "idle";
      self.error = undefined;
      options.changed();
    },
    isKnown: () => log.epoch !== "" && self.status !== "refused",
  };
  return self;
}
