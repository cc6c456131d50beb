import { expect, test } from "vitest";
import * as headgate from "../src/index.js";

test("the package gives these names", () => {
  expect(Object.keys(headgate).sort()).toEqual([
    "ChatError",
    "PacedQueue",
    "createClient",
    "debounce",
    "throttle",
  ]);
});
