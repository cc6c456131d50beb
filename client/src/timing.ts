// Calls that come too often, with the semantics of lodash: `debounce` waits for a pause,
// `throttle` lets one through per period.

import { systemClock } from "./clock.js";
import type { Clock } from "./types.js";

export interface ThrottleOptions {
  /** Call at the beginning of a burst. */
  leading?: boolean;
  /** Call at its end, with the last arguments; on by default. */
  trailing?: boolean;
  clock?: Clock;
}

export interface DebounceOptions extends ThrottleOptions {
  /** The longest that a call is put off; milliseconds. */
  maxWait?: number;
}

export interface Paced<Args extends unknown[], Result> {
  /** Returns what the last call that was made has returned. */
  (...args: Args): Result | undefined;
  /** Forget what waits. */
  cancel(): void;
  /** Make the call that waits now. */
  flush(): Result | undefined;
  pending(): boolean;
}

/**
 * Put calls off until there was none for `wait` milliseconds.
 *
 * Off the leading edge by default. A clock that runs backwards ends the wait.
 */
export function debounce<Args extends unknown[], Result>(
  call: (...args: Args) => Result,
  wait: number,
  { leading = false, trailing = true, maxWait, clock = systemClock }: DebounceOptions = {},
): Paced<Args, Result> {
  const longest = maxWait === undefined ? Infinity : Math.max(maxWait, wait);
  let waiting: Args | undefined;
  let result: Result | undefined;
  /** Undefined while no timer runs. */
  let timer: unknown;
  let calledAt: number | undefined;
  /** When a call was made last, or the burst began. */
  let madeAt = 0;

  function make(now: number): Result | undefined {
    const args = waiting!;
    waiting = undefined;
    madeAt = now;
    return (result = call(...args));
  }

  function isOver(now: number): boolean {
    const quiet = now - (calledAt ?? -Infinity);
    return quiet >= wait || quiet < 0 || now - madeAt >= longest;
  }

  function set(ms: number): void {
    clock.clearTimeout(timer);
    timer = clock.setTimeout(ring, ms);
  }

  function ring(): void {
    const now = clock.now();
    if (isOver(now)) end(now);
    else set(Math.min(wait - (now - calledAt!), longest - (now - madeAt)));
  }

  function end(now: number): Result | undefined {
    timer = undefined;
    if (trailing && waiting) return make(now);
    waiting = undefined;
    return result;
  }

  const paced = (...args: Args): Result | undefined => {
    const now = clock.now();
    const isFirst = isOver(now);
    waiting = args;
    calledAt = now;
    if (isFirst && timer === undefined) {
      madeAt = now;
      set(wait);
      return leading ? make(now) : result;
    }
    if (isFirst && longest < Infinity) {
      set(wait);
      return make(now);
    }
    if (timer === undefined) set(wait);
    return result;
  };
  paced.cancel = (): void => {
    clock.clearTimeout(timer);
    madeAt = 0;
    waiting = calledAt = timer = undefined;
  };
  paced.flush = (): Result | undefined => {
    if (timer === undefined) return result;
    clock.clearTimeout(timer);
    return end(clock.now());
  };
  paced.pending = (): boolean => timer !== undefined;
  return paced;
}

/** Let a call through at once, and then one per `wait` milliseconds: the last one. */
export function throttle<Args extends unknown[], Result>(
  call: (...args: Args) => Result,
  wait: number,
  { leading = true, trailing = true, clock = systemClock }: ThrottleOptions = {},
): Paced<Args, Result> {
  return debounce(call, wait, { leading, trailing, clock, maxWait: wait });
}
