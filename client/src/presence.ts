// Who is in a room, by what the server tells of it.

import type { Author, Presence, Push } from "./types.js";

export const NOBODY: Presence = { here: [], off: false };

/** What is known after a push `presence`. */
export function present(known: Presence, push: Push): Presence {
  const {
    here,
    joined = [],
    left = [],
    off = false,
  } = push as Push & {
    readonly here?: readonly Author[];
    readonly joined?: readonly Author[];
    readonly left?: readonly string[];
    readonly off?: boolean;
  };
  if (off) return { here: [], off };
  if (!here && known.off) return known;
  const people = new Map((here ?? known.here).map((author) => [author.id, author]));
  for (const id of left) people.delete(id);
  for (const author of joined) people.set(author.id, author);
  return { here: [...people.values()], off };
}
