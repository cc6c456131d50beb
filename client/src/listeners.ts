// Who wants to be told of something.

import { guarded } from "./report.js";

export interface Listeners<Args extends unknown[]> {
  isEmpty(): boolean;
  /** The answer ends it. The same function may be added twice, and is told twice. */
  add(call: (...args: Args) => void): () => void;
  /** Whoever is added meanwhile is not told, nor who has ended it. */
  tell(...args: Args): void;
}

export function createListeners<Args extends unknown[]>(): Listeners<Args> {
  const all = new Set<{ call: (...args: Args) => void }>();
  return {
    isEmpty: () => !all.size,
    add(call) {
      const listener = { call };
      all.add(listener);
      return () => {
        all.delete(listener);
      };
    },
    tell(...args) {
      for (const listener of [...all]) {
        if (all.has(listener)) guarded(() => listener.call(...args));
      }
    },
  };
}
