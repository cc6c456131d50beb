// Whether the other end is still there: a half-open connection says nothing by itself.

import { createAlarm } from "./clock.js";
import type { Clock, Lifecycle } from "./types.js";

const ANSWER_MS = 10_000;
const PROBE_MS = 2_000;
// Browsers run the timers of hidden pages once in a minute.
const HIDDEN_ANSWER_MS = 70_000;
// A timer that rings later than this rings after sleep.
const LATE_MS = 1_000;

export interface Heartbeat {
  /** Begin: after `everyMs` of silence the other end is asked. */
  start(everyMs: number): void;
  /** Something came. */
  heard(): void;
  /** Ask now, with little patience: the page was away, or the network has changed. */
  probe(): void;
  stop(): void;
}

/**
 * @param ask - sends what is answered at once
 * @param dead - called when nothing came in time; stops nothing by itself
 */
export function createHeartbeat(
  clock: Clock,
  lifecycle: Lifecycle,
  ask: () => void,
  dead: () => void,
): Heartbeat {
  let everyMs = 0;
  let heardAt = 0;
  let deadline = 0;
  let isAsked = false;
  // Once: timers of hidden pages are late each time.
  let wasLate = false;

  const alarm = createAlarm(clock, () => {
    const now = clock.now();
    const quietAt = heardAt + everyMs;
    if (!isAsked) {
      if (now < quietAt) alarm.set(quietAt);
      else inquire(ANSWER_MS);
    } else if (now > deadline + LATE_MS && !wasLate) {
      // What came during the sleep may wait to be read behind this timer.
      inquire(PROBE_MS);
      wasLate = true;
    } else {
      dead();
    }
  });

  function inquire(patienceMs: number): void {
    deadline = clock.now() + (lifecycle.visible() ? patienceMs : HIDDEN_ANSWER_MS);
    isAsked = true;
    wasLate = false;
    alarm.set(deadline);
    ask();
  }

  function heard(): void {
    heardAt = clock.now();
    // Where a question was open, its alarm rings at the deadline and goes on from there.
    isAsked = false;
  }

  return {
    start(ms) {
      everyMs = Math.max(ms, 1_000);
      heard();
      alarm.set(heardAt + everyMs);
    },
    heard,
    probe() {
      if (everyMs && !(isAsked && deadline <= clock.now() + PROBE_MS)) inquire(PROBE_MS);
    },
    stop: alarm.off,
  };
}
