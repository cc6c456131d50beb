// Something that one tab has at a time: by Web Locks, else by a lease in the storage.

import type { Clock, KeyValueStorage } from "./types.js";

const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
const SURE_MS = 100;

/** Try to take a name; resolves to what gives it back, or to null where another tab has it. */
export type TabLock = (name: string) => Promise<(() => void) | null>;

export function createTabLock(
  clock: Clock,
  storage: KeyValueStorage,
  tab: string,
  locks: LockManager | undefined = globalThis.navigator?.locks,
): TabLock {
  if (locks) {
    return (name) =>
      new Promise((resolve) => {
        const held = locks.request(name, { ifAvailable: true }, (lock) => {
          if (lock) return new Promise<void>((release) => resolve(release));
          resolve(null);
          return undefined;
        });
        // Where a page may have no locks, it has no other tab either.
        held.catch(() => resolve(null));
      });
  }
  return async (name) => {
    const key = `${name}.lease`;
    const isOurs = (): boolean => storage.getItem(key)?.split(" ")[1] === tab;
    const write = (): void => storage.setItem(key, `${Date.now() + LEASE_MS} ${tab}`);
    const left = Number(storage.getItem(key)?.split(" ")[0] ?? 0) - Date.now();
    // A lease of longer than a lease is of a clock that was set since.
    if (left > 0 && left <= LEASE_MS && !isOurs()) return null;
    write();
    // Of two who write at once, both see who came last.
    await new Promise<void>((resolve) => clock.setTimeout(resolve, SURE_MS));
    if (!isOurs()) return null;
    let timer: unknown;
    const renew = (): void => {
      try {
        if (isOurs()) write();
      } catch {
        // Full, or forbidden by now: then it runs out.
      }
      timer = clock.setTimeout(renew, RENEW_MS);
    };
    renew();
    return () => {
      clock.clearTimeout(timer);
      try {
        if (isOurs()) storage.removeItem(key);
      } catch {
        // The same.
      }
    };
  };
}
