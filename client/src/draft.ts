// The unfinished text of a room, kept across reloads: each person's own, and theirs alone
// to see. Of several tabs, the last that wrote has it.

import type { Platform } from "./platform.js";
import { createStore } from "./store.js";
import { debounce } from "./timing.js";
import type { Author, Store } from "./types.js";

const QUIET_MS = 300;
const LONGEST_MS = 2_000;

export interface KeptDraft {
  readonly store: Store<string>;
  set(text: string): void;
  /** Write down what has not been yet. */
  flush(): void;
}

/** @param user - until it is known who one is, nothing is kept and nothing is shown */
export function createDraft(
  room: string,
  { clock, storage }: Platform,
  user: Store<Author | null>,
): KeptDraft {
  let writer: string | undefined;
  const store = createStore("");
  const key = (): string => `headgate.draft.${writer}.${room}`;
  const keep = debounce(
    () => {
      if (!writer) return;
      try {
        if (store.get()) storage?.setItem(key(), store.get());
        else storage?.removeItem(key());
      } catch {
        // Full, or forbidden: then it is not kept.
      }
    },
    QUIET_MS,
    { maxWait: LONGEST_MS, clock },
  );
  function known(): void {
    const id = user.get()?.id;
    if (!id || id === writer) return;
    keep.flush();
    // What was written before is by whoever turns out to be there.
    const written = writer ? "" : store.get();
    writer = id;
    let kept: string | null | undefined;
    try {
      kept = storage?.getItem(key());
    } catch {
      // Forbidden: then there is nothing before it.
    }
    store.set(kept && written ? `${kept}\n${written}` : kept || written);
    if (written) keep();
  }
  user.subscribe(known);
  known();
  return {
    store,
    set(next) {
      store.set(next);
      keep();
    },
    flush: keep.flush,
  };
}
