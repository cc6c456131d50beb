import { expect, test, vi } from "vitest";
import { createTypists } from "../src/typists.js";
import { FakeClock, settle } from "./fakes/fake_clock.js";
import { ADA, ZOE } from "./fakes/fake_server.js";

test("who writes is forgotten 6 s after the last sign", async () => {
  const clock = new FakeClock();
  const typists = createTypists(clock);
  const listener = vi.fn();
  typists.view.subscribe(listener);
  typists.heard(ADA, true);
  await clock.advance(4_000);
  typists.heard(ADA, true);
  typists.heard(ZOE, true);
  await clock.advance(5_999);
  expect(typists.view.get()).toEqual([ADA, ZOE]);
  listener.mockClear();
  await clock.advance(1);
  expect(listener).toHaveBeenCalledTimes(1);
  expect(typists.view.get()).toEqual([]);
  expect(clock.pending).toBe(0);
});

test("it is over when they say so", async () => {
  const typists = createTypists(new FakeClock());
  typists.heard(ADA, true);
  typists.heard(ADA, false);
  expect(typists.view.get()).toEqual([]);
  const listener = vi.fn();
  typists.view.subscribe(listener);
  typists.heard(ZOE, false);
  await settle();
  expect(listener).not.toHaveBeenCalled();
  typists.heard(ADA, true);
  typists.clear();
  expect(typists.view.get()).toEqual([]);
});
