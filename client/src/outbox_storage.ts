// What is unsent, kept across reloads. Each tab writes to a place of its own, so that no
// two write to one; what a tab that is gone has left is taken over by one that is there.

import type { KeyValueStorage } from "./types.js";
import type { TabLock } from "./tab_lock.js";

/** Tabs that can keep what is unsent, at most; storages cannot be listed. */
const PLACES = 8;

/** A message as it is kept. */
export interface Kept {
  readonly client_id: string;
  readonly room: string;
  readonly created: number;
  readonly content: object;
}

export interface OutboxStorage {
  /** Whose it is; resolves to what former pages of theirs have left. */
  open(person: string): Promise<Kept[]>;
  /** Look for what other tabs have left since. */
  adopt(): Promise<Kept[]>;
  save(items: readonly Kept[]): void;
  /** Let another tab have the place; what is in it stays. `adopt` takes one again. */
  close(): void;
}

export function createOutboxStorage(storage: KeyValueStorage, lock: TabLock): OutboxStorage {
  let person = "";
  let mine = "";
  let release: (() => void) | undefined;
  /** Grows whenever what was begun before is no longer wanted. */
  let turn = 0;

  function read(key: string): Kept[] {
    try {
      const kept = JSON.parse(storage.getItem(key) ?? "[]") as Kept[];
      return kept.filter(({ client_id, room, content }) => client_id && room && content);
    } catch {
      return [];
    }
  }

  async function adopt(): Promise<Kept[]> {
    const begun = turn;
    const found: Kept[] = [];
    for (let place = 0; person && place < PLACES; place++) {
      const key = `headgate.outbox.${person}.${place}`;
      // An empty place is worth a lock only to who has none.
      if (key === mine || (mine && !read(key).length)) continue;
      const free = await lock(key).catch(() => null);
      if (begun !== turn) {
        free?.();
        break;
      }
      if (!free) continue;
      const left = read(key);
      found.push(...left);
      if (mine) {
        // Ours by now; in our own place before it is gone from the other.
        write(mine, [...read(mine), ...left]);
        write(key, []);
        free();
      } else {
        mine = key;
        release = free;
      }
    }
    return found;
  }

  function write(key: string, items: readonly Kept[]): void {
    try {
      if (items.length) storage.setItem(key, JSON.stringify(items));
      else storage.removeItem(key);
    } catch {
      // Full, or forbidden: then nothing is kept.
    }
  }

  function close(): void {
    turn++;
    release?.();
    release = undefined;
    mine = "";
  }

  return {
    open(whose) {
      close();
      person = whose;
      return adopt();
    },
    adopt,
    save(items) {
      if (mine) write(mine, items);
    },
    close,
  };
}
