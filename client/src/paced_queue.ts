// Things that are done in order, no faster than somebody allows, and each until it is
// done or refused for good.

import { backoff, hint } from "./backoff.js";
import { Bucket } from "./bucket.js";
import { type Alarm, createAlarm, systemClock } from "./clock.js";
import { ChatError, isTransient } from "./errors.js";
import type { Clock, OutgoingStatus } from "./types.js";

const MAX_ATTEMPTS = 4;
const SHORTEST_HINT_MS = 100;
const JITTER_MS = 250;
// What had no answer since the connection broke is not tried again in a loop.
const LOST_MS = 500;

/** What says when the next may go. */
export interface Gate {
  /** Milliseconds until one may go; 0 is now. */
  waitMs(): number;
  /** One goes; what is returned is to be told whether it was counted. */
  take(): (isCounted: boolean) => void;
}

export interface PacedQueueOptions<T, Result> {
  /**
   * One try. Where it rejects with something that has `retryAfterMs`, the same is tried
   * again after so long, and that counts as no attempt. Faults of the server, such as
   * `overloaded`, are tried four times in all.
   */
  start: (item: T) => Promise<Result>;
  /** How many at once, and how many are given back in a second: 3 and 1. */
  burst?: number;
  perSecond?: number;
  /** In place of `burst` and `perSecond`. */
  gate?: Gate;
  /** How many may be on their way at once: 1, which alone keeps their order. */
  inFlight?: number;
  /** How many may be in the queue: 100. */
  maxItems?: number;
  /** What is older fails, as `expired`. Time that is spent waiting for a limit is not counted. */
  maxAgeMs?: number;
  /** What fails stays where it is, and holds up what is behind it. */
  stopAtFailure?: boolean;
  /** Whether anything may be started; `kick` after it has changed. */
  ready?: () => boolean;
  /** Something is another than before. */
  changed?: () => void;
  /** A try was refused: with the item, before the queue goes on. */
  refused?: (error: ChatError, item: T) => void;
  clock?: Clock;
  random?: () => number;
}

export interface PacedItem<T, Result = unknown> {
  readonly item: T;
  readonly status: OutgoingStatus;
  /** The moment at which it goes, while it is `waiting`. */
  readonly notBefore?: number | undefined;
  /** Tries that failed. */
  readonly attempts: number;
  readonly error?: ChatError | undefined;
  /** Settles when it is done, or has failed. It may be left alone. */
  readonly done: Promise<Result>;
}

type Entry<T, Result> = { -readonly [K in keyof PacedItem<T, Result>]: PacedItem<T, Result>[K] } & {
  _resolve: (result: Result) => void;
  _reject: (error: ChatError) => void;
  /** Not tried again before. */
  _heldUntil: number;
  _expiresAt: number;
};

export class PacedQueue<T, Result = unknown> {
  private readonly _entries: Entry<T, Result>[] = [];
  private readonly _clock: Clock;
  private readonly _gate: Gate;
  private readonly _random: () => number;
  private readonly _alarm: Alarm;
  private readonly _maxAgeMs: number;

  constructor(private readonly _options: PacedQueueOptions<T, Result>) {
    const { clock = systemClock, random = Math.random, burst = 3, perSecond = 1 } = _options;
    this._clock = clock;
    this._random = random;
    this._gate = _options.gate ?? new Bucket(clock, burst, perSecond);
    this._maxAgeMs = _options.maxAgeMs ?? Infinity;
    this._alarm = createAlarm(clock, () => this.kick());
  }

  /** What is in the queue, in its order. */
  get items(): readonly PacedItem<T, Result>[] {
    return this._entries;
  }

  /**
   * Put something at the end, or before what is `at` a place.
   *
   * @param ageMs - how old it is already
   * @throws ChatError `outbox_full`
   */
  push(item: T, ageMs = 0, at: number = this._entries.length): PacedItem<T, Result> {
    if (this._entries.length >= (this._options.maxItems ?? 100)) {
      throw new ChatError("outbox_full", "Too much is waiting already.");
    }
    let _resolve!: (result: Result) => void;
    let _reject!: (error: ChatError) => void;
    const done = new Promise<Result>((resolve, reject) => {
      _resolve = resolve;
      _reject = reject;
    });
    done.catch(() => undefined);
    const _expiresAt = this._clock.now() + this._maxAgeMs - ageMs;
    const entry: Entry<T, Result> = {
      item,
      status: "queued",
      attempts: 0,
      done,
      _resolve,
      _reject,
      _heldUntil: 0,
      _expiresAt,
    };
    this._entries.splice(at, 0, entry);
    this.kick();
    return entry;
  }

  /** It is done, as is known from elsewhere. */
  settle(item: PacedItem<T, Result>, result: Result): void {
    this._remove(item)?._resolve(result);
    this.kick();
  }

  /** Take something out, whatever became of it; false where it is not in. */
  remove(item: PacedItem<T, Result>, error: ChatError): boolean {
    const entry = this._remove(item);
    entry?._reject(error);
    this.kick();
    return !!entry;
  }

  /** Try what has failed again. */
  retry(item: PacedItem<T, Result>): void {
    const entry = item as Entry<T, Result>;
    if (entry.status !== "failed") return;
    entry.status = "queued";
    entry.error = undefined;
    entry.attempts = entry._heldUntil = 0;
    entry._expiresAt = this._clock.now() + this._maxAgeMs;
    this.kick();
  }

  /** What held single ones back has ended. */
  release(): void {
    for (const entry of this._entries) entry._heldUntil = 0;
    this.kick();
  }

  /** Let it fail; what is on its way then has no effect any more. */
  fail(item: PacedItem<T, Result>, error: ChatError): void {
    const entry = item as Entry<T, Result>;
    if (!this._options.stopAtFailure) {
      this.remove(entry, error);
      return;
    }
    entry.status = "failed";
    entry.error = error;
    entry.notBefore = undefined;
    entry._reject(error);
    this.kick();
  }

  /** Look whether something can go: the gate may have changed, or time may have leapt. */
  kick(): void {
    const { inFlight = 1, ready, changed } = this._options;
    const now = this._clock.now();
    let free = inFlight;
    let isStopped = ready?.() === false;
    let next = Infinity;
    for (const entry of [...this._entries]) {
      if (entry.status === "sending") {
        free--;
      } else if (entry.status === "failed") {
        isStopped = true;
      } else if (now >= entry._expiresAt) {
        this.fail(entry, new ChatError("expired", "It waited for too long."));
        return; // `fail` has looked at the others
      } else {
        const waitMs = Math.max(entry._heldUntil - now, this._gate.waitMs());
        entry.status = "queued";
        entry.notBefore = undefined;
        if (isStopped || free <= 0) {
          isStopped = true;
        } else if (waitMs > 0) {
          isStopped = true;
          entry.status = "waiting";
          next = entry.notBefore = now + waitMs;
          for (const each of this._entries) {
            each._expiresAt = Math.max(each._expiresAt, next + this._maxAgeMs);
          }
        } else {
          free--;
          void this._start(entry);
          continue;
        }
        next = Math.min(next, entry._expiresAt);
      }
    }
    this._alarm.off();
    // No wait is so short that it runs in circles.
    if (next < Infinity) this._alarm.set(Math.max(next, now + 1));
    changed?.();
  }

  private async _start(entry: Entry<T, Result>): Promise<void> {
    entry.status = "sending";
    entry.error = undefined;
    const counted = this._gate.take();
    try {
      const result = await this._options.start(entry.item);
      counted(true);
      this.settle(entry, result);
    } catch (thrown) {
      const error = thrown as ChatError;
      counted(error.code !== "rate_limited");
      this._options.refused?.(error, entry.item);
      if (entry.status !== "sending" || !this._entries.includes(entry)) this.kick();
      else this._again(entry, error);
    }
  }

  private _again(entry: Entry<T, Result>, error: ChatError): void {
    const { code, retryAfterMs } = error;
    const now = this._clock.now();
    let waitMs = hint(retryAfterMs);
    let isOver = retryAfterMs == null;
    if (isTransient(code)) {
      isOver = ++entry.attempts >= MAX_ATTEMPTS;
      waitMs = backoff(this._random, entry.attempts, waitMs);
    } else if (code === "lost" && this._options.stopAtFailure) {
      isOver = false;
      waitMs = LOST_MS;
    }
    if (isOver) {
      this.fail(entry, error);
      return;
    }
    entry._heldUntil = now + Math.max(SHORTEST_HINT_MS, waitMs) + this._random() * JITTER_MS;
    entry.status = "queued";
    // Why it waits, where that is not plain to see.
    if (code !== "rate_limited" && code !== "lost") entry.error = error;
    this.kick();
  }

  private _remove(item: PacedItem<T, Result>): Entry<T, Result> | undefined {
    const at = this._entries.indexOf(item as Entry<T, Result>);
    return at < 0 ? undefined : this._entries.splice(at, 1)[0];
  }
}
