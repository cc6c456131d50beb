import { expect, test, vi } from "vitest";

import { ChatError } from "../../src/errors.js";
import { ENGLISH, translator } from "../../src/element/strings.js";
import { times } from "../../src/element/time.js";

test("a text in two numbers", () => {
  const { count } = translator("en");
  expect(count("new_messages", 1)).toBe("1 new message");
  expect(count("new_messages", 5)).toBe("5 new messages");
});

test("a language has as many numbers as it needs, and those it lacks are the others", () => {
  const strings = {
    new_messages_one: "{n} сообщение",
    new_messages_few: "{n} сообщения",
    new_messages_other: "{n} сообщений",
  };
  const { count } = translator("ru", strings);
  expect([1, 3, 5].map((n) => count("new_messages", n))).toEqual([
    "1 сообщение",
    "3 сообщения",
    "5 сообщений",
  ]);
});

test("what is not translated is in English", () => {
  const { t } = translator("de", { send: "Senden" });
  expect([t("send"), t("save")]).toEqual(["Senden", "Save"]);
});

test("a name in braces stays a name", () => {
  const { t } = translator("en");
  expect(t("typing_two", { a: "{b}", b: "$&" })).toBe("{b} and $& are writing…");
  expect(t("typing_two", { a: "x" })).toBe("x and {b} are writing…");
});

test("an error is in the page's words where it has some, else in the server's", () => {
  const { error } = translator("de", { error_muted: "Stumm." });
  expect(error(new ChatError("muted", "You are muted."))).toBe("Stumm.");
  expect(error(new ChatError("banned", "You are banned."))).toBe("You are banned.");
});

test("a language that is none is no fault", () => {
  const { language, count } = translator("no such thing");
  expect(count("left", 2)).toBe("2 left");
  expect(times(language).span(4_000)).toBe("4 sec");
});

test("each text in two numbers has both", () => {
  const keys = Object.keys(ENGLISH);
  for (const key of keys.filter((name) => name.endsWith("_other"))) {
    expect(keys).toContain(key.replace(/other$/, "one"));
  }
});

test.each([
  [1, "1 sec"],
  [4_000, "4 sec"],
  [3_200, "4 sec"],
  [59_000, "59 sec"],
  [60_000, "1 min"],
  [90_000, "90 sec"],
  [600_000, "10 min"],
  [3_600_000, "1 hr"],
  [86_400_000, "1 day"],
])("%d ms are %s", (ms, text) => {
  expect(times("en").span(ms)).toBe(text);
});

test("the last two days have names, over the change of the clocks too", () => {
  const { day } = times("de");
  const today = new Date();
  const daysAgo = (n: number): Date =>
    new Date(today.getFullYear(), today.getMonth(), today.getDate() - n, 23, 59);
  expect(day(daysAgo(0))).toBe("Heute");
  expect(day(daysAgo(1))).toBe("Gestern");
  expect(day(daysAgo(2))).not.toMatch(/Vorgestern|Tage/);
  expect(day(new Date(2020, 1, 3))).toBe("3. Februar 2020");
});

test.each([
  ["en", ["de", "en-GB"], "17:05"],
  ["en", ["de", "fr"], "5:05 PM"],
  ["en-US", ["en-GB"], "5:05 PM"],
  ["de", ["en-US", "de-AT"], "17:05"],
])("times are in the page's %s, as a reader of %s writes it", (page, own, text) => {
  vi.spyOn(navigator, "languages", "get").mockReturnValue(own);
  expect(
    times(page)
      .clock(new Date(2026, 0, 15, 17, 5))
      .replace("\u202f", " "),
  ).toBe(text);
});

test("a day is spelt out", () => {
  expect(times("de").span(86_400_000)).toBe("1 Tag");
});
