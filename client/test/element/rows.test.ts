import { afterEach, expect, test, vi } from "vitest";

import { ADA, at, BEN, message, outgoing, ZOE } from "./fake_client.js";
import { BOX_PX, ROW_PX, stage, type Stage } from "./stage.js";
import { ChatError } from "../../src/errors.js";
import type { Author, Message } from "../../src/types.js";

let here: Stage;
afterEach(() => here.stop());

const many = (count: number, from = 1) =>
  Array.from({ length: count }, (_, i) => message(from + i));
const textsShown = (): string[] => here.texts(".messages .text");

test("messages are shown in their order, as text", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { text: "<b>hi</b>" }), message(2)] });
  await here.pass();
  expect(textsShown()).toEqual(["<b>hi</b>", "message 2"]);
  expect(here.all(".text b")).toEqual([]);
});

test("one author who goes on is named once for the eye", async () => {
  here = stage();
  const messages = [
    message(1),
    message(2, { at: at(1) }),
    message(3, { at: at(2), author: ZOE }),
    message(4, { at: at(3), author: ZOE, reply_to: 1 }),
    message(5, { at: at(20), author: ZOE }),
  ];
  here.room.show({ messages });
  await here.pass();
  expect(here.all("li[data-key]").map((row) => row.classList.contains("follows"))).toEqual([
    false,
    true,
    false,
    false,
    false,
  ]);
});

test("a few emoji and nothing else are shown larger", async () => {
  here = stage();
  const large = ["🎉", "👩‍👩‍👧‍👦", "❤️ 👍🏽", "🇨🇭🇩🇪"];
  const usual = ["🎉!", "12", "#", "©", "🎉🎉🎉🎉🎉🎉🎉🎉🎉", "", "🎉\n🎉"];
  here.room.show({ messages: [...large, ...usual].map((text, i) => message(i + 1, { text })) });
  await here.pass();
  expect(here.texts(".emoji .text")).toEqual(large);
});

test("a day begins with its name", async () => {
  here = stage();
  const messages = [
    message(1, { at: at(-60 * 24 * 40) }),
    message(2, { at: at(-60 * 24) }),
    message(3),
    message(4),
  ];
  here.room.show({ messages });
  await here.pass();
  expect(here.texts(".day")).toEqual(["December 6, 2025", "Yesterday", "Today"]);
});

test("the name of a row has its author and time", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { author: ZOE }), message(2, { author: ADA })] });
  await here.pass();
  const [zoe, ada] = here.all("article");
  expect(zoe!.getAttribute("aria-label")).toMatch(/^Zoë \(guest\), 12:00\sPM$/);
  expect(ada!.getAttribute("aria-label")).toMatch(/^Ada \(you\), 12:00\sPM$/);
  expect(document.getElementById(zoe!.getAttribute("aria-describedby")!)!.textContent).toBe(
    "message 1",
  );
  expect(here.find("time").getAttribute("datetime")).toBe(at());
});

test("an edited message says so, and a deleted one has lost its text", async () => {
  here = stage();
  here.room.show({
    messages: [
      message(1, { edited: 3 }),
      message(2, { text: "", deleted: true, edited: 4, reply_to: 1 }),
    ],
  });
  await here.pass();
  expect(here.texts(".note")).toEqual(["edited", ""]);
  expect(textsShown()[1]).toBe("This message was deleted.");
  expect(here.all(".quote")).toEqual([]);
});

test("an edit paints its row anew and touches no other", async () => {
  here = stage();
  const messages = many(3);
  here.room.show({ messages });
  await here.pass();
  const [first, second] = here.all("li[data-key]");
  const text = first!.querySelector(".text");
  here.room.show({
    messages: [messages[0]!, { ...messages[1]!, text: "other", edited: 4 }, messages[2]!],
  });
  await here.pass();
  expect(textsShown()).toEqual(["message 1", "other", "message 3"]);
  expect(here.all("li[data-key]").slice(0, 2)).toEqual([first, second]);
  expect(first!.querySelector(".text")).toBe(text);
});

test("a message of one's own keeps its row and its focus when it is saved", async () => {
  here = stage();
  here.room.show({ unsent: [outgoing("c-1")] });
  await here.pass();
  const row = here.find("li[data-key]");
  here.find("article").focus();
  here.room.show({
    unsent: [],
    messages: [message(7, { author: ADA, client_id: "c-1", text: "text of c-1" })],
  });
  await here.pass();
  expect(here.all("li[data-key]")).toEqual([row]);
  expect(document.activeElement).toBe(row.querySelector("article"));
  expect(row.className).toBe("own");
});

test("two people may use the same client_id", async () => {
  here = stage();
  here.room.show({
    messages: [
      message(1, { author: ADA, client_id: "x" }),
      message(2, { author: BEN, client_id: "x" }),
    ],
  });
  await here.pass();
  expect(textsShown()).toEqual(["message 1", "message 2"]);
});

test("what is not sent says why", async () => {
  here = stage();
  const now = here.client.clock.now();
  here.room.show({
    unsent: [
      outgoing("a", { status: "failed", error: new ChatError("muted", "You are muted.") }),
      outgoing("b", { status: "waiting", notBefore: now + 4_000 }),
      outgoing("m", {
        status: "waiting",
        notBefore: now + 600_000,
        error: new ChatError("muted", "You are muted."),
      }),
      outgoing("c", { status: "sending" }),
      outgoing("d", { status: "queued" }),
    ],
  });
  await here.pass();
  expect(here.texts(".note")).toEqual([
    "not sent: You are muted.",
    "waits 4 sec",
    "waits 10 min: You are muted.",
    "",
    "queued",
  ]);
  await here.pass(2_100);
  expect(here.texts(".note")).toEqual([
    "not sent: You are muted.",
    "waits 2 sec",
    "waits 10 min: You are muted.",
    "sending…",
    "queued",
  ]);
});

test("a failed message can be sent again, put back, or given up", async () => {
  here = stage();
  const failed = outgoing("a", {
    status: "failed",
    error: new ChatError("expired", "Too old."),
    reply_to: 1,
  });
  here.room.show({ messages: [message(1)], unsent: [failed] });
  await here.pass();
  here.click(".buttons button", "Retry");
  expect(here.room.retry).toHaveBeenCalledWith("a");
  here.click(".buttons button", "Edit");
  expect(here.room.discard).toHaveBeenCalledWith("a");
  expect(here.find<HTMLTextAreaElement>("textarea").value).toBe("text of a");
  await here.pass();
  expect(here.find(".mode").textContent).toContain("Reply to Ben");
  here.click(".buttons button", "Discard");
  expect(here.room.discard).toHaveBeenCalledTimes(2);
});

test("a translated error wins over the server's words", async () => {
  here = stage({ strings: { error_muted: "Stumm geschaltet." } });
  here.room.show({
    unsent: [outgoing("a", { status: "failed", error: new ChatError("muted", "You are muted.") })],
  });
  await here.pass();
  expect(here.texts(".note")).toEqual(["not sent: Stumm geschaltet."]);
});

test("a reply quotes the first line of what it answers", async () => {
  here = stage();
  here.room.show({
    messages: [
      message(1, { text: "first\nsecond" }),
      message(2, { reply_to: 1 }),
      message(3, { reply_to: 99 }),
    ],
  });
  await here.pass();
  expect(here.texts(".quote")).toEqual(["Ben first", "an earlier message "]);
  here.click(".quote");
  await here.pass();
  expect(document.activeElement).toBe(here.all("article")[0]);
});

test("an answered message that is not loaded is looked for", async () => {
  here = stage();
  here.room.show({ messages: [message(50, { reply_to: 3 })], hasOlder: true });
  await here.pass();
  let pages = 0;
  here.room.loadOlder = () => {
    const before = here.room.timeline.get().messages;
    const oldest = before[0]!.seq;
    here.room.show({ messages: [...many(25, oldest - 25), ...before], hasOlder: oldest > 26 });
    pages++;
    return Promise.resolve();
  };
  here.click(".quote");
  await here.pass();
  await here.pass();
  expect(pages).toBe(2);
  expect(document.activeElement?.textContent).toContain("message 3");
});

test("where events were left out stands how many, and the way to see them", async () => {
  here = stage();
  const gap = { from: 2, to: 39 };
  const after = { from: 42, to: 42 };
  here.room.show({ messages: [message(1), message(40), message(41)], gaps: [gap, after] });
  await here.pass();
  expect(here.texts(".gap")).toEqual(["38 messages left out Show", "1 message left out Show"]);
  here.click(".gap button");
  expect(here.room.fillGap).toHaveBeenCalledWith(gap);
});

test("what one has not read begins with a line, unless it is one's own", async () => {
  here = stage({}, (room) => room.show({ status: "loading" }));
  here.room.show({
    status: "live",
    read: 1,
    unread: 2,
    messages: [message(1), message(2, { author: ADA }), message(3), message(4)],
  });
  await here.pass();
  const rows = here.all("li[data-key]");
  expect(rows.map((row) => row.querySelectorAll(".new").length)).toEqual([0, 0, 1, 0]);
});

test("to whoever was never here before, nothing is new", async () => {
  here = stage({}, (room) => room.show({ status: "loading" }));
  here.room.show({ status: "live", read: 0, unread: 3, messages: many(3) });
  await here.pass();
  expect(here.all(".new")).toEqual([]);
});

test("what comes while one looks on is not marked as new", async () => {
  here = stage();
  here.room.show({ messages: many(1) });
  await here.pass();
  here.room.show({ messages: many(2) });
  await here.pass();
  expect(here.all(".new")).toEqual([]);
});

test("the page holds at most 300 messages of those that are loaded", async () => {
  here = stage();
  const box = here.layOut();
  here.room.show({ messages: many(1_000) });
  await here.pass();
  expect(textsShown()).toHaveLength(300);
  expect(textsShown().at(-1)).toBe("message 1000");
  // Up: what was seen stays where it was.
  box.scrollTo(80);
  await here.pass();
  expect(textsShown()[0]).toBe("message 601");
  expect(textsShown()).toHaveLength(300);
  expect(box.element.scrollTop).toBe(100 * ROW_PX + 80);
  expect(here.room.loadOlder).not.toHaveBeenCalled();
  // And down again, to the newest, which is followed from there on.
  box.scrollTo(1e9);
  await here.pass();
  expect(textsShown()[0]).toBe("message 701");
  expect(textsShown().at(-1)).toBe("message 1000");
  box.scrollTo(1e9);
  here.room.show({ messages: many(1_100) });
  await here.pass();
  expect(textsShown()[0]).toBe("message 801");
  expect(textsShown().at(-1)).toBe("message 1100");
});

test("the end of what is in the page is not the end of what is loaded", async () => {
  here = stage();
  const box = here.layOut();
  here.room.show({ messages: many(1_000), head: 1_000 });
  await here.pass();
  for (let n = 0; n < 3; n++) {
    box.scrollTo(0);
    await here.pass();
  }
  expect(textsShown().at(-1)).toBe("message 700");
  vi.mocked(here.room.markRead).mockClear();
  box.scrollTo(1e9);
  await here.pass(1_000);
  // One step, and one sees what one saw.
  expect(textsShown().at(-1)).toBe("message 800");
  expect(box.element.scrollTop).toBe(200 * ROW_PX - BOX_PX);
  expect(here.room.markRead).not.toHaveBeenCalled();
});

test("whoever reads at the end stays there, and whoever reads above it stays above", async () => {
  here = stage();
  const box = here.layOut();
  here.room.show({ messages: many(50) });
  await here.pass();
  expect(box.element.scrollTop).toBe(50 * ROW_PX - BOX_PX);
  here.room.show({ messages: many(60) });
  await here.pass();
  expect(box.element.scrollTop).toBe(60 * ROW_PX - BOX_PX);
  box.scrollTo(700);
  here.room.show({ messages: many(70) });
  await here.pass();
  expect(box.element.scrollTop).toBe(700);
  here.room.show({ messages: many(80, 0) });
  await here.pass();
  expect(box.element.scrollTop).toBe(700);
  here.click(".jump");
  await here.pass();
  expect(box.element.scrollTop).toBe(80 * ROW_PX - BOX_PX);
});

test("a button says how many came below, without one's own", async () => {
  here = stage();
  const box = here.layOut();
  here.room.show({ messages: many(50) });
  await here.pass();
  expect(here.find(".jump").hidden).toBe(true);
  box.scrollTo(100);
  await here.pass();
  expect(here.find(".jump").textContent).toBe("Jump to the newest");
  here.room.show({ messages: [...many(52), message(53, { author: ADA })] });
  await here.pass();
  expect(here.find(".jump").textContent).toBe("2 new messages");
  box.scrollTo(1e9);
  await here.pass();
  expect(here.find(".jump").hidden).toBe(true);
});

test("older messages are loaded when one comes near the first, not again right after a failure", async () => {
  here = stage();
  const box = here.layOut();
  here.room.show({ messages: many(50, 100), hasOlder: true });
  await here.pass();
  here.room.loadOlder = vi.fn(() => Promise.reject(new ChatError("rate_limited", "Too fast.")));
  box.scrollTo(100);
  await here.pass();
  expect(here.room.loadOlder).toHaveBeenCalledOnce();
  expect(here.texts(".notice")).toEqual(["Too fast."]);
  box.scrollTo(90);
  await here.pass();
  expect(here.room.loadOlder).toHaveBeenCalledOnce();
  await here.pass(6_000);
  box.scrollTo(80);
  expect(here.room.loadOlder).toHaveBeenCalledTimes(2);
});

test("one reads marks while the end is seen", async () => {
  here = stage();
  const box = here.layOut();
  here.room.show({ messages: many(50), head: 50 });
  await here.pass();
  expect(here.room.markRead).toHaveBeenLastCalledWith(50);
  box.scrollTo(100);
  here.room.show({ messages: many(60), head: 61 });
  await here.pass();
  expect(here.room.markRead).toHaveBeenLastCalledWith(50);
  box.scrollTo(1e9);
  await here.pass();
  expect(here.room.markRead).toHaveBeenLastCalledWith(61);
});

test("the button for older messages loads a page where all is shown", async () => {
  here = stage();
  here.room.show({ messages: many(10, 50), hasOlder: true });
  await here.pass();
  here.click(".older");
  expect(here.room.loadOlder).toHaveBeenCalledOnce();
  here.find(".older").focus();
  here.room.show({ loadingOlder: true });
  await here.pass();
  expect(here.texts(".older")).toEqual(["Loading…"]);
  expect(document.activeElement).toBe(here.find(".older"));
  here.room.show({ loadingOlder: false, messages: many(59), hasOlder: false });
  await here.pass();
  expect(textsShown()).toHaveLength(59);
  expect(here.find(".older").hidden).toBe(true);
});

test("a burst is one painting a frame", async () => {
  here = stage();
  await here.pass();
  const frames = vi.spyOn(globalThis, "requestAnimationFrame");
  const messages = many(400);
  for (let n = 1; n <= 400; n++) here.room.show({ messages: messages.slice(0, n) });
  await here.pass();
  expect(frames).toHaveBeenCalledOnce();
  expect(textsShown()).toHaveLength(300);
});

test("whoever pressed a button of a message has the focus on the message when the button goes", async () => {
  here = stage();
  const error = new ChatError("expired", "Too old.");
  const failed = outgoing("a", { status: "failed", error });
  here.room.show({ unsent: [failed] });
  await here.pass();
  here.find(".buttons button").focus();
  here.room.show({ unsent: [{ ...failed, status: "queued" }] });
  await here.pass();
  expect(document.activeElement).toBe(here.find("article"));
  const gap = { from: 2, to: 9 };
  here.room.show({ messages: [message(1), message(10)], unsent: [], gaps: [gap] });
  await here.pass();
  here.find(".gap button").focus();
  here.room.show({ gaps: [] });
  await here.pass();
  expect(document.activeElement).toBe(here.all("article")[1]);
});

test("what is missing at the end keeps its button while nothing about it changes", async () => {
  here = stage();
  here.room.show({ messages: many(3), gaps: [{ from: 4, to: 9 }] });
  await here.pass();
  const button = here.find(".gap button");
  here.room.allow({ remaining: 3 });
  await here.pass();
  expect(here.find(".gap button")).toBe(button);
  here.room.show({ gaps: [{ from: 4, to: 12 }] });
  await here.pass();
  expect(here.texts(".gap")).toEqual(["9 messages left out Show"]);
  here.room.show({ gaps: [] });
  await here.pass();
  expect(here.all(".gap")).toEqual([]);
});

test("at midnight today becomes yesterday, though nothing else happens", async () => {
  here = stage();
  here.room.show({ messages: many(1) }); // noon; it is 18:00
  await here.pass();
  expect(here.texts(".day")).toEqual(["Today"]);
  await here.pass(6 * 3_600_000 + 1_000);
  expect(here.texts(".day")).toEqual(["Yesterday"]);
});

// --- messages that grow ---

const BOT: Author = { id: "b:helper", kind: "bot", name: "Helper" };
const growing = (text: string, rest: Partial<Message> = {}): Message =>
  message(2, { author: BOT, text, open: true, reply_to: 1, format: "markdown", ...rest });

test("a bot has a badge", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { author: BOT })] });
  await here.pass();
  expect(here.texts(".tag.bot")).toEqual(["bot"]);
  expect(here.find("article").getAttribute("aria-label")).toMatch(/^Helper \(bot\), /);
});

test("a message shows its text as it grows, and nothing else of the page is touched", async () => {
  here = stage();
  const first = message(1, { author: ADA });
  const last = message(3);
  here.room.show({ messages: [first, growing("**Half"), last] });
  await here.pass();
  const row = here.find("li.grows");
  const strong = row.querySelector("strong")!;
  const stop = row.querySelector(".buttons button");
  const changes: MutationRecord[] = [];
  const observer = new MutationObserver((records) => changes.push(...records));
  observer.observe(here.find(".messages"), {
    ...{ subtree: true, childList: true, characterData: true, attributes: true },
  });
  here.room.show({ messages: [first, growing("**Half of"), last] });
  await here.pass();
  here.room.show({ messages: [first, growing("**Half of it.** Yes"), last] });
  await here.pass();
  changes.push(...observer.takeRecords());
  observer.disconnect();
  expect(row.querySelector(".text")!.innerHTML).toBe("<p><strong>Half of it.</strong> Yes</p>");
  expect(row.querySelector("strong")).toBe(strong);
  expect(row.querySelector(".buttons button")).toBe(stop);
  const text = row.querySelector(".text")!;
  for (const { target } of changes) expect(text.contains(target)).toBe(true);
});

test("whoever reads at the end stays there while a message grows", async () => {
  here = stage();
  const scrollTop = vi.fn<(px: number) => void>();
  let px = 2_000;
  Object.defineProperties(here.find(".scroll"), {
    scrollHeight: { get: () => px },
    scrollTop: { get: () => px - BOX_PX, set: scrollTop },
  });
  here.room.show({ messages: [...many(50), { ...growing("a"), seq: 51 }] });
  await here.pass();
  px = 2_300;
  here.room.show({ messages: [...many(50), { ...growing("a\n\nb"), seq: 51 }] });
  await here.pass();
  expect(scrollTop).toHaveBeenLastCalledWith(2_300);
});

test.each([
  ["done", {}, ""],
  ["cut", { state: "cut" }, "The answer was cut off."],
  ["cancelled", { state: "cancelled" }, "Stopped."],
] as const)("the end of growth is shown: %s", async (_name, rest, note) => {
  here = stage();
  const first = message(1, { author: ADA });
  here.room.show({ messages: [first, growing("Half of")] });
  await here.pass();
  expect(here.all(".grows")).toHaveLength(1);
  const { open: _, ...ended } = growing("Half of it. Yes", rest);
  here.room.show({ messages: [first, ended] });
  await here.pass();
  expect(here.all(".grows, .buttons")).toEqual([]);
  expect(here.texts(".note")).toEqual(["", note]);
  expect(here.texts(".text")[1]).toBe("Half of it. Yes");
  // What breaks off in a mark has it ended.
  here.room.show({ messages: [first, { ...ended, text: "Half **of" }] });
  await here.pass();
  expect(here.texts(".text")[1]).toBe(note ? "Half of" : "Half **of");
});

test("what was cut off and then edited is edited", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { state: "cut", edited: 4 })] });
  await here.pass();
  expect(here.texts(".note")).toEqual(["edited"]);
});

test.each([
  ["who asked", { author: ADA }, {}, {}, true],
  ["its author", {}, { author: ADA }, {}, true],
  ["a moderator", {}, {}, { moderates: true }, true],
  ["anybody else", {}, {}, {}, false],
  ["who asked something else", { seq: 7, author: ADA }, {}, {}, false],
])("a message that grows can be stopped by %s", async (_who, asked, answer, more, can) => {
  here = stage();
  here.room.show({ messages: [message(1, asked), growing("a", answer)], ...more });
  await here.pass();
  expect(here.texts(".grows .buttons button")).toEqual(can ? ["Stop"] : []);
  if (!can) return;
  here.find(".grows .buttons button").focus();
  here.click(".grows .buttons button");
  expect(here.room.cancel).toHaveBeenCalledExactlyOnceWith(2);
  // The button goes, and the focus stays with the message.
  const { open: _, ...ended } = growing("a", { ...answer, state: "cancelled" });
  here.room.show({ messages: [message(1, asked), ended] });
  await here.pass();
  expect(document.activeElement).toBe(here.all("article").at(-1));
});

test("what cannot be stopped says why", async () => {
  here = stage();
  vi.mocked(here.room.cancel).mockRejectedValue(new ChatError("not_growing", "It has ended."));
  here.room.show({ messages: [message(1, { author: ADA }), growing("a")] });
  await here.pass();
  here.click(".grows .buttons button");
  await here.pass();
  expect(here.texts(".notice")).toEqual(["It has ended."]);
});

test("one's own message on its way is none that grows", async () => {
  here = stage();
  here.room.show({ unsent: [outgoing("a", { open: true, text: "" })] });
  await here.pass();
  expect(here.all(".grows, .buttons")).toEqual([]);
});
