import { expect, test } from "vitest";
import { createOutboxStorage, type Kept } from "../src/outbox_storage.js";
import { createTabLock } from "../src/tab_lock.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { FakeLocks } from "./fakes/fake_locks.js";
import { FakeStorage } from "./fakes/fake_storage.js";

function kept(client_id: string): Kept {
  return { client_id, room: "general", created: 1, content: { text: client_id } };
}

function browser() {
  const [clock, storage, locks] = [new FakeClock(), new FakeStorage(), new FakeLocks()];
  let tabs = 0;
  const tab = () => createOutboxStorage(storage, createTabLock(clock, storage, `${++tabs}`, locks));
  return { storage, locks, tab };
}

test("what a page has left is there after a reload, for the same person only", async () => {
  const { locks, tab } = browser();
  const before = tab();
  expect(await before.open("u:5")).toEqual([]);
  before.save([kept("a"), kept("b")]);
  locks.held.clear(); // the page is gone
  expect(await tab().open("u:7")).toEqual([]);
  expect(await tab().open("u:5")).toEqual([kept("a"), kept("b")]);
});

test("two tabs keep what they have apart", async () => {
  const { storage, tab } = browser();
  const [one, two] = [tab(), tab()];
  await one.open("u:5");
  expect(await two.open("u:5")).toEqual([]);
  one.save([kept("a")]);
  two.save([kept("b")]);
  expect([...storage.items.values()].map((text) => JSON.parse(text)[0].client_id)).toEqual([
    "a",
    "b",
  ]);
});

test("what a tab that is gone has left is taken over by one that is there, once", async () => {
  const { locks, storage, tab } = browser();
  const [one, two, three] = [tab(), tab(), tab()];
  for (const each of [one, two, three]) await each.open("u:5");
  one.save([kept("a")]);
  two.save([kept("b")]);
  expect(await three.adopt(), "both are there").toEqual([]);
  locks.held.delete("headgate.outbox.u:5.0");
  locks.held.delete("headgate.outbox.u:5.1");
  expect(await three.adopt()).toEqual([kept("a"), kept("b")]);
  expect(await three.adopt()).toEqual([]);
  const [left] = [...storage.items.values()];
  expect(storage.items.size).toBe(1);
  expect(JSON.parse(left!)).toEqual([kept("a"), kept("b")]);
});

test("what cannot be kept is not, and what was broken is nothing", async () => {
  const { storage, locks, tab } = browser();
  const one = tab();
  await one.open("u:5");
  storage.forbidden = true;
  one.save([kept("a")]);
  expect(await one.adopt()).toEqual([]);
  storage.forbidden = false;
  for (const broken of ["{", "null", "[1, {}]", '[{"client_id": "x"}]']) {
    locks.held.clear();
    storage.items.set("headgate.outbox.u:5.0", broken);
    expect(await tab().open("u:5")).toEqual([]);
  }
});

test("an empty outbox leaves nothing behind", async () => {
  const { storage, tab } = browser();
  const one = tab();
  await one.open("u:5");
  one.save([kept("a")]);
  one.save([]);
  expect(storage.items.size).toBe(0);
});

test("before a person is known, and after the end, nothing is kept", async () => {
  const { storage, locks, tab } = browser();
  const one = tab();
  one.save([kept("a")]);
  expect(await one.adopt()).toEqual([]);
  await one.open("u:5");
  one.close();
  one.save([kept("b")]);
  expect(storage.items.size).toBe(0);
  await Promise.resolve().then(() => undefined);
  expect(locks.held.size).toBe(0);
});

test("a tab does not take over what is its own", async () => {
  const [clock, storage] = [new FakeClock(), new FakeStorage()];
  const one = createOutboxStorage(storage, createTabLock(clock, storage, "one", undefined));
  await Promise.all([one.open("u:5"), clock.advance(1_000)]);
  one.save([kept("a")]);
  const [again] = await Promise.all([one.adopt(), clock.advance(1_000)]);
  expect(again).toEqual([]);
  expect(storage.getItem("headgate.outbox.u:5.0")).toContain('"a"');
});
