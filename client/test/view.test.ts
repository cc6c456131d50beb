import { expect, test, vi } from "vitest";
import { createView } from "../src/view.js";
import { FakeClock, settle } from "./fakes/fake_clock.js";

test("of a burst of changes, listeners hear once, and the work is done once", async () => {
  let source = 0;
  const work = vi.fn(() => ({ source }));
  const view = createView(new FakeClock(), work);
  const listener = vi.fn();
  view.subscribe(listener);
  work.mockClear();
  for (source = 1; source < 100; source++) view.touch();
  expect(listener).not.toHaveBeenCalled();
  await settle();
  expect(listener).toHaveBeenCalledTimes(1);
  expect(view.get()).toEqual({ source: 100 });
  expect(work).toHaveBeenCalledTimes(1);
});

test("it gives the same object until something changes, and at once what is new then", () => {
  let source = 1;
  const view = createView(new FakeClock(), () => ({ source }));
  expect(view.get()).toBe(view.get());
  source = 2;
  view.touch();
  expect(view.get()).toEqual({ source: 2 });
});

test("it changes by itself when its time has come, with a timer only while somebody listens", async () => {
  const clock = new FakeClock(0);
  const view = createView(
    clock,
    (now) => Math.floor(now / 1000),
    (value) => (value + 1) * 1000,
  );
  expect(view.get()).toBe(0);
  expect(clock.pending).toBe(0);
  clock.sleep(1_500);
  expect(view.get()).toBe(1);
  const listener = vi.fn();
  const end = view.subscribe(listener);
  await clock.advance(3_000);
  expect(listener).toHaveBeenCalledTimes(3);
  end();
  expect(clock.pending).toBe(0);
});

test("a listener that fails is in nobody's way, and one that has ended hears nothing", async () => {
  const clock = new FakeClock();
  const view = createView(clock, () => 1);
  const reported = vi.fn();
  vi.stubGlobal("setTimeout", (call: () => void) => reported(call));
  const last = vi.fn();
  view.subscribe(() => end());
  view.subscribe(() => {
    throw new Error("a listener's fault");
  });
  const end = view.subscribe(last);
  const heard = vi.fn();
  view.subscribe(heard);
  view.touch();
  await settle();
  expect(last).not.toHaveBeenCalled();
  expect(heard).toHaveBeenCalledTimes(1);
  expect(reported).toHaveBeenCalledTimes(1);
});
