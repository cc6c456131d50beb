// A value that can be watched.

import { createListeners } from "./listeners.js";
import type { Store } from "./types.js";

export interface WritableStore<T> extends Store<T> {
  /** The listeners are called unless it is the same value. */
  set(value: T): void;
}

export function createStore<T>(value: T): WritableStore<T> {
  const listeners = createListeners<[]>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      listeners.tell();
    },
    subscribe: listeners.add,
  };
}
