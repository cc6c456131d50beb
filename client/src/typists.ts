// Who is writing: forgotten when they stop, when they have said it, or after a while.

import type { Author, Clock, Store } from "./types.js";
import { createView } from "./view.js";

const FORGOTTEN_MS = 6_000;

export interface Typists {
  readonly view: Store<readonly Author[]>;
  heard(author: Author, isTyping: boolean): void;
  clear(): void;
}

export function createTypists(clock: Clock): Typists {
  const until = new Map<string, { author: Author; at: number }>();
  const view = createView<readonly Author[]>(
    clock,
    (now) => {
      for (const [id, { at }] of until) if (at <= now) until.delete(id);
      return [...until.values()].map(({ author }) => author);
    },
    () => Math.min(...[...until.values()].map(({ at }) => at)),
  );
  return {
    view,
    heard(author, isTyping) {
      const isKnown = until.has(author.id);
      if (isTyping) until.set(author.id, { author, at: clock.now() + FORGOTTEN_MS });
      else until.delete(author.id);
      if (isTyping || isKnown) view.touch();
    },
    clear() {
      until.clear();
      view.touch();
    },
  };
}
