// A value that is worked out when somebody asks for it: of a burst of changes, listeners
// hear once, and the work is done once.

import { type Alarm, createAlarm } from "./clock.js";
import { createListeners } from "./listeners.js";
import type { Clock, Store } from "./types.js";

export interface View<T> extends Store<T> {
  /** It may have changed: the listeners are told at the end of this turn. */
  touch(): void;
}

/**
 * @param work - gives the value as it is now
 * @param until - the moment at which the value changes by itself; a timer is set for it
 *   only while somebody listens
 */
export function createView<T>(
  clock: Clock,
  work: (now: number) => T,
  until: (value: T, now: number) => number = () => Infinity,
): View<T> {
  const listeners = createListeners<[]>();
  let value: T;
  let isStale = true;
  let goodUntil = 0;
  let isTelling = false;
  const alarm: Alarm = createAlarm(clock, touch);

  function get(): T {
    const now = clock.now();
    if (isStale || now >= goodUntil) {
      value = work(now);
      isStale = false;
      // A moment at least: whoever asks twice in a row gets the same.
      goodUntil = Math.max(until(value, now), now + 1);
    }
    return value;
  }

  function watch(): void {
    alarm.off();
    if (listeners.isEmpty()) return;
    get();
    if (goodUntil < Infinity) alarm.set(goodUntil);
  }

  function touch(): void {
    isStale = true;
    if (isTelling || listeners.isEmpty()) return;
    isTelling = true;
    queueMicrotask(() => {
      isTelling = false;
      watch();
      listeners.tell();
    });
  }

  return {
    get,
    touch,
    subscribe(call) {
      const end = listeners.add(call);
      watch();
      return () => {
        end();
        watch();
      };
    },
  };
}
