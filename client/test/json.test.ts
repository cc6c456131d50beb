import { expect, test } from "vitest";
import { encode } from "../src/json.js";

test("halves of characters and U+0000 are replaced, wherever a text is", () => {
  expect(JSON.parse(encode({ text: "a\ud83d", data: { list: ["\udc00b", "\0"] } }))).toEqual({
    text: "a\ufffd",
    data: { list: ["\ufffdb", "\ufffd"] },
  });
});

test("all else is JSON as ever", () => {
  const value = {
    text: '\u{1f600} "\\ud83d" é\n',
    no: undefined,
    none: null,
    list: [1, true, {}],
    at: new Date(0),
  };
  expect(encode(value)).toBe(JSON.stringify(value));
});
