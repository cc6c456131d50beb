import { expect, test, vi } from "vitest";
import { createEmitter } from "../src/emitter.js";

test("who listens for a name hears it, as often as they listen, until they end it", () => {
  const { on, emit } = createEmitter<{ one: number; two: string }>();
  const listener = vi.fn();
  const ends = [on("one", listener), on("one", listener)];
  on("two", () => expect.unreachable());
  emit("one", 1);
  expect(listener).toHaveBeenCalledTimes(2);
  ends[0]!();
  emit("one", 2);
  expect(listener).toHaveBeenCalledTimes(3);
});

test("a listener that fails does not keep the event from the others", () => {
  const { on, emit } = createEmitter<{ one: number }>();
  const reported = vi.fn();
  vi.stubGlobal("setTimeout", reported);
  on("one", () => {
    throw new Error("a listener's fault");
  });
  const listener = vi.fn();
  on("one", listener);
  emit("one", 1);
  expect(listener).toHaveBeenCalledWith(1);
  expect(reported).toHaveBeenCalledTimes(1);
});
