// Time: the page's own clock, and an alarm that is set to a moment and not to a delay.

import type { Clock } from "./types.js";

// A timer for longer than that runs at once.
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => {
    clearTimeout(handle as number);
  },
};

export interface Alarm {
  /** Ring at `at` instead of when it was set before. */
  set(at: number): void;
  off(): void;
}

/**
 * It may ring late, after sleep much later, and early where it is set to a moment weeks away:
 * whoever is called looks at the clock.
 */
export function createAlarm(clock: Clock, ring: () => void): Alarm {
  let handle: unknown;
  const off = (): void => {
    clock.clearTimeout(handle);
  };
  return {
    set(at) {
      off();
      handle = clock.setTimeout(ring, Math.min(Math.max(0, at - clock.now()), LONGEST_MS));
    },
    off,
  };
}
