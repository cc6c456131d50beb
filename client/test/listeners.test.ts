import { expect, test } from "vitest";
import { createListeners } from "../src/listeners.js";

test("whoever has ended it is told no more, whoever begins meanwhile is told next time", () => {
  const listeners = createListeners<[number]>();
  const told: string[] = [];
  expect(listeners.isEmpty()).toBe(true);
  let endLast = (): void => undefined;
  const endFirst = listeners.add((value) => {
    told.push(`first ${value}`);
    endLast();
    if (value === 1) listeners.add((later) => told.push(`new ${later}`));
  });
  endLast = listeners.add((value) => told.push(`last ${value}`));
  listeners.tell(1);
  listeners.tell(2);
  endFirst();
  listeners.tell(3);
  expect(told).toEqual(["first 1", "first 2", "new 2", "new 3"]);
  expect(listeners.isEmpty()).toBe(false);
});

test("a function that listens twice is told twice, and ends once for each", () => {
  const listeners = createListeners<[]>();
  let told = 0;
  const call = (): void => {
    told++;
  };
  const ends = [listeners.add(call), listeners.add(call)];
  listeners.tell();
  ends[0]!();
  ends[0]!();
  listeners.tell();
  expect(told).toBe(3);
});
