// A clock that stands still until the test moves it.

import { setImmediate } from "node:timers";

import type { Clock } from "../../src/types.js";

interface Timer {
  readonly handle: number;
  readonly at: number;
  readonly callback: () => void;
}

/** Let every promise that can settle do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export class FakeClock implements Clock {
  private time: number;
  private handles = 0;
  private readonly timers = new Map<number, Timer>();

  constructor(now = 1_000) {
    this.time = now;
  }

  /** How many timers are set: 0 once all is closed, or something leaks. */
  get pending(): number {
    return this.timers.size;
  }

  now(): number {
    return this.time;
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const handle = ++this.handles;
    // As in browsers: more than 2^31 - 1 ms run at once.
    const delay = ms > 2 ** 31 - 1 || !(ms > 0) ? 0 : ms;
    this.timers.set(handle, { handle, at: this.time + delay, callback });
    return handle;
  }

  clearTimeout(handle: unknown): void {
    this.timers.delete(handle as number);
  }

  /** Pass `ms`: what is due runs in order, with promises settled before, between and after. */
  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.time + ms;
    for (let next = this.next(end); next; next = this.next(end)) {
      this.timers.delete(next.handle);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await settle();
    }
    this.time = end;
    await settle();
  }

  /** Let `ms` go by with no timer run, as when the machine sleeps; what is late runs in `advance`. */
  sleep(ms: number): void {
    this.time += ms;
  }

  private next(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.timers.values()) {
      if (timer.at > until) continue;
      if (!first || timer.at < first.at) first = timer;
    }
    return first;
  }
}
