import { expect, test } from "vitest";
import { createTabLock } from "../src/tab_lock.js";
import type { KeyValueStorage } from "../src/types.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { FakeLocks } from "./fakes/fake_locks.js";
import { FakeStorage } from "./fakes/fake_storage.js";

async function within<T>(clock: FakeClock, made: Promise<T>): Promise<T> {
  await clock.advance(200);
  return made;
}

test("with Web Locks, one has it until it is given back", async () => {
  const [clock, storage, locks] = [new FakeClock(), new FakeStorage(), new FakeLocks()];
  const one = createTabLock(clock, storage, "one", locks);
  const two = createTabLock(clock, storage, "two", locks);
  const release = await one("place");
  expect(release).not.toBeNull();
  expect(await two("place")).toBeNull();
  expect(await two("other")).not.toBeNull();
  release!();
  await clock.advance(0);
  expect(await two("place")).not.toBeNull();
  expect(storage.items.size).toBe(0);
});

test("where a page may have no lock, it has none", async () => {
  const locks = new FakeLocks();
  locks.forbidden = true;
  expect(await createTabLock(new FakeClock(), new FakeStorage(), "one", locks)("place")).toBeNull();
});

test("without Web Locks, a lease is kept for as long as its tab lives", async () => {
  const [clock, storage] = [new FakeClock(), new FakeStorage()];
  const one = createTabLock(clock, storage, "one", undefined);
  const two = createTabLock(clock, storage, "two", undefined);
  const release = await within(clock, one("place"));
  expect(release).not.toBeNull();
  expect(await within(clock, two("place"))).toBeNull();
  release!();
  expect(await within(clock, two("place"))).not.toBeNull();
});

test("of two that take a lease at once, one has it", async () => {
  const [clock, storage] = [new FakeClock(), new FakeStorage()];
  const one = createTabLock(clock, storage, "one", undefined)("place");
  const two = createTabLock(clock, storage, "two", undefined)("place");
  const got = await within(clock, Promise.all([one, two]));
  expect(got.filter(Boolean)).toHaveLength(1);
});

test("a lease of a tab that is gone runs out, and one from the future counts for nothing", async () => {
  const [clock, storage] = [new FakeClock(), new FakeStorage()];
  const lock = createTabLock(clock, storage, "two", undefined);
  storage.setItem("place.lease", `${Date.now() + 5_000} one`);
  expect(await within(clock, lock("place"))).toBeNull();
  storage.setItem("place.lease", `${Date.now() - 1} one`);
  expect(await within(clock, lock("place"))).not.toBeNull();
  storage.setItem("other.lease", `${Date.now() + 3_600_000} one`);
  expect(await within(clock, lock("other"))).not.toBeNull();
});

test("a lease that somebody else has taken is not given back, nor renewed", async () => {
  const [clock, storage] = [new FakeClock(), new FakeStorage()];
  const release = await within(clock, createTabLock(clock, storage, "one", undefined)("place"));
  const theirs = `${Date.now() + 5_000} two`;
  storage.setItem("place.lease", theirs);
  await clock.advance(20_000);
  release!();
  expect(storage.getItem("place.lease")).toBe(theirs);
  expect(clock.pending).toBe(0);
});

test("of two that saw no lease, the one that wrote last has it", async () => {
  const [clock, storage] = [new FakeClock(), new FakeStorage()];
  const one = createTabLock(clock, storage, "one", undefined)("place");
  // The other process has not seen the first one's yet.
  const seen = createTabLock(
    clock,
    {
      ...wrap(storage),
      getItem: (key) => (clock.now() === 1_000 ? null : storage.getItem(key)),
    },
    "two",
    undefined,
  )("place");
  const [first, second] = await within(clock, Promise.all([one, seen]));
  expect(first).toBeNull();
  expect(second).not.toBeNull();
});

function wrap(storage: FakeStorage): KeyValueStorage {
  return {
    getItem: (key) => storage.getItem(key),
    setItem: (key, value) => storage.setItem(key, value),
    removeItem: (key) => storage.removeItem(key),
  };
}
