import { afterEach, expect, test, vi } from "vitest";

import { ChatError } from "../../src/errors.js";
import { ADA, BEN, message } from "./fake_client.js";
import { stage, type Stage } from "./stage.js";

let here: Stage;
afterEach(() => here.stop());

const field = (): HTMLTextAreaElement => here.find<HTMLTextAreaElement>("textarea");

test("Enter sends, and the field is empty and has the focus", async () => {
  here = stage();
  here.type("hello");
  const event = here.press(field(), "Enter");
  await here.pass();
  expect(event.defaultPrevented).toBe(true);
  expect(here.room.send).toHaveBeenCalledExactlyOnceWith("hello");
  expect(field().value).toBe("");
  expect(here.room.draft.get()).toBe("");
  expect(document.activeElement).toBe(field());
});

test("Shift and Enter begin a new line, and an input method's Enter is its own", () => {
  here = stage();
  here.type("hello");
  here.press(field(), "Enter", { shiftKey: true });
  here.press(field(), "Enter", { isComposing: true });
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  here.press(field(), "Enter", { keyCode: 229 }); // as in Safari
  expect(here.room.send).not.toHaveBeenCalled();
});

test("nothing but white space is not sent", () => {
  here = stage();
  here.type("  \n ");
  here.press(field(), "Enter");
  expect(here.room.send).not.toHaveBeenCalled();
});

test("what cannot be queued stays in the field, with the reason", async () => {
  here = stage();
  vi.mocked(here.room.send).mockImplementation(() => {
    throw new ChatError("outbox_full", "Too many messages wait.");
  });
  here.type("hello");
  here.press(field(), "Enter");
  await here.pass();
  expect(field().value).toBe("hello");
  expect(here.room.draft.get()).toBe("hello");
  expect(here.texts(".trouble")).toEqual(["Too many messages wait."]);
});

test("a wait is counted on the button, and one can write and send meanwhile", async () => {
  here = stage();
  here.room.allow({ secondsLeft: 12, freeAt: 1, remaining: 0, policy: "send" });
  await here.pass();
  expect(here.texts(".wait")).toEqual(["12 sec"]);
  expect(field().disabled).toBe(false);
  expect(here.find<HTMLButtonElement>(".send").disabled).toBe(false);
  here.type("later");
  here.press(field(), "Enter");
  await here.pass();
  expect(here.room.send).toHaveBeenCalledWith("later");
  here.room.allow({ secondsLeft: 0, freeAt: null, remaining: 1 });
  await here.pass();
  expect(here.texts(".wait")).toEqual([""]);
});

test("a wait is said once at its beginning and once at its end", async () => {
  here = stage();
  const said: string[] = [];
  const region = here.find("[role=status].unseen");
  new MutationObserver(() => said.push(region.textContent)).observe(region, { childList: true });
  for (let seconds = 5; seconds >= 0; seconds--) {
    here.room.allow({ secondsLeft: seconds });
    await here.pass(1_000);
  }
  await here.pass(5_000);
  expect(said).toEqual(["You can send again in 5 sec.", "You can send again."]);
});

test("a short wait is not worth saying", async () => {
  here = stage();
  here.room.allow({ secondsLeft: 2 });
  await here.pass(2_000);
  here.room.allow({ secondsLeft: 0 });
  await here.pass(2_000);
  expect(here.texts("[role=status].unseen")).toEqual([""]);
});

test("what is left is shown before it runs out", async () => {
  here = stage();
  for (const [remaining, text] of [
    [10, ""],
    [4, ""],
    [3, "3 left"],
    [1, "1 left"],
    [0, ""],
  ] as const) {
    here.room.allow({ remaining, burst: 10, policy: "send" });
    await here.pass();
    expect(here.texts(".left")).toEqual([text]);
  }
});

test("slow mode is told as what it is", async () => {
  here = stage();
  here.room.allow({ slowModeMs: 30_000, remaining: 1, burst: 1, policy: "slow_mode" });
  await here.pass();
  expect(here.find(".hint").textContent).toContain("Slow mode: one message in 30 sec");
  expect(here.texts(".left")).toEqual([""]);
});

test("a text that is too long is counted in bytes, and not sent", async () => {
  here = stage();
  here.type("é".repeat(400)); // 800 bytes of the 680 that the command leaves
  await here.pass();
  expect(here.texts(".trouble")[0]).toMatch(/^Too long by 12\d bytes\.$/);
  here.press(field(), "Enter");
  expect(here.room.send).not.toHaveBeenCalled();
  here.type("é".repeat(300));
  expect(here.texts(".trouble")).toEqual([""]);
});

test("a huge text is taken into the field, and not kept as a draft", () => {
  here = stage();
  here.type("x".repeat(2_000_000));
  expect(here.texts(".trouble")[0]).toMatch(/^Too long by 1999\d\d\d bytes\.$/);
  expect(here.room.setDraft).not.toHaveBeenCalled();
});

test("the draft is there again, and follows what one writes", () => {
  here = stage({}, (room) => room.draft.set("unfinished"));
  expect(field().value).toBe("unfinished");
  here.type("unfinished business");
  expect(here.room.draft.get()).toBe("unfinished business");
  expect(here.room.typing).toHaveBeenLastCalledWith(true);
  here.type("");
  expect(here.room.typing).toHaveBeenLastCalledWith(false);
});

test("the draft comes once it is known who one is, and goes with them", async () => {
  here = stage();
  here.room.draft.set("Ada's");
  await here.pass();
  expect(field().value).toBe("Ada's");
  here.type("Ada's secret");
  here.room.draft.set("");
  await here.pass();
  expect(field().value).toBe("");
});

test("the draft of another person is not in the way of what is edited", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { author: ADA, text: "mine" })] });
  here.type("aside");
  here.type("");
  here.press(field(), "ArrowUp");
  expect(field().value).toBe("mine");
  here.room.draft.set("later");
  await here.pass();
  expect(field().value).toBe("mine");
  here.press(field(), "Escape");
  expect(field().value).toBe("later");
});

test("the last message of one's own is edited by an arrow up in the empty field", async () => {
  here = stage();
  const messages = [
    message(1, { author: ADA, text: "mine" }),
    message(2, { author: ADA, text: "", deleted: true }),
    message(3, { author: BEN }),
  ];
  here.room.show({ messages });
  await here.pass();
  here.type("x");
  here.press(field(), "ArrowUp");
  expect(field().value).toBe("x");
  here.type("");
  here.press(field(), "ArrowUp");
  await here.pass();
  expect(field().value).toBe("mine");
  expect(here.texts(".send")).toEqual(["Save"]);
  here.type("mine, better");
  expect(here.room.draft.get()).toBe("");
  here.press(field(), "Enter");
  await here.pass();
  expect(here.room.edit).toHaveBeenCalledExactlyOnceWith(1, "mine, better");
  expect(here.room.send).not.toHaveBeenCalled();
  expect(field().value).toBe("");
  expect(here.texts(".send")).toEqual(["Send"]);
});

test("an edit keeps the format of its message", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { author: ADA, text: "*a*", format: "markdown" })] });
  await here.pass();
  here.press(field(), "ArrowUp");
  here.type("*b*");
  here.press(field(), "Enter");
  expect(here.room.edit).toHaveBeenCalledWith(1, { text: "*b*", format: "markdown" });
});

test("Escape leaves an edit, and what one was writing is back", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { author: ADA, text: "mine" })] });
  await here.pass();
  here.find("article").focus();
  here.type("unfinished");
  here.click(".tools button", "Edit");
  expect(field().value).toBe("mine");
  here.press(field(), "Escape");
  await here.pass();
  expect(field().value).toBe("unfinished");
  expect(here.find(".mode").hidden).toBe(true);
});

test("an edit that is refused stays in the field, with the reason", async () => {
  here = stage();
  here.room.show({ messages: [message(1, { author: ADA, text: "mine" })] });
  await here.pass();
  vi.mocked(here.room.edit).mockRejectedValue(new ChatError("forbidden", "Too late."));
  here.press(field(), "ArrowUp");
  here.type("other");
  here.press(field(), "Enter");
  await here.pass();
  expect(field().value).toBe("other");
  expect(here.texts(".trouble")).toEqual(["Too late."]);
  expect(here.texts(".send")).toEqual(["Save"]);
});

test("a reply says to whom, and Escape makes it a message again", async () => {
  here = stage();
  here.room.show({ messages: [message(1)] });
  await here.pass();
  here.find("article").focus();
  here.click(".tools button", "Reply");
  await here.pass();
  expect(here.find(".mode").textContent).toContain("Reply to Ben");
  expect(document.activeElement).toBe(field());
  here.type("yes");
  here.press(field(), "Enter");
  expect(here.room.send).toHaveBeenLastCalledWith({ text: "yes", reply_to: 1 });
  here.find("article").focus();
  here.click(".tools button", "Reply");
  here.press(field(), "Escape");
  here.type("no");
  here.press(field(), "Enter");
  expect(here.room.send).toHaveBeenLastCalledWith("no");
});

test("where one may only read stands a sentence and no field", async () => {
  here = stage();
  here.room.show({ readOnly: true });
  await here.pass();
  expect(here.find(".composer").hidden).toBe(true);
  expect(here.find(".silence").hidden).toBe(false);
  expect(here.texts(".silence")).toEqual(["You can read here, but not write."]);
});

test("what is pasted is refused where it is many times too long, and what was there stays", () => {
  here = stage();
  here.type("before");
  const paste = (data: string): InputEvent => {
    const event = new InputEvent("beforeinput", { data, bubbles: true, cancelable: true });
    field().dispatchEvent(event);
    return event;
  };
  expect(paste("x".repeat(1_500)).defaultPrevented).toBe(false); // it can be made shorter
  expect(here.texts(".trouble")).toEqual([""]);
  expect(paste("x".repeat(1_000_000)).defaultPrevented).toBe(true);
  expect(here.texts(".trouble")[0]).toMatch(/^Too long by 999\d\d\d bytes\.$/);
  expect(field().value).toBe("before");
});

test("pressing the button leaves the focus in the field, and a telephone's keyboard open", () => {
  here = stage();
  const press = new MouseEvent("mousedown", { bubbles: true, cancelable: true });
  here.find(".send").dispatchEvent(press);
  expect(press.defaultPrevented).toBe(true);
});

test("an edit that changes nothing is none", async () => {
  here = stage();
  here.room.show({ messages: [message(4, { author: ADA, text: "as it was" })] });
  await here.pass();
  here.press(field(), "ArrowUp");
  here.press(field(), "Enter");
  await here.pass();
  expect(here.room.edit).not.toHaveBeenCalled();
  expect(here.find(".mode").hidden).toBe(true);
  expect(field().value).toBe("");
});

test("to begin an edit is not the end of a wait", async () => {
  here = stage();
  here.room.show({ messages: [message(4, { author: ADA })] });
  here.room.allow({ secondsLeft: 30, freeAt: 1, remaining: 0, policy: "send" });
  await here.pass(2_000);
  here.press(field(), "ArrowUp");
  await here.pass(2_000);
  expect(here.texts("[role=status]").join(" ")).toContain("You can send again in 30 sec.");
});

test("the arrow up leaves out what is still growing", async () => {
  here = stage();
  here.room.show({
    messages: [
      message(1, { author: ADA, text: "mine" }),
      message(2, { author: ADA, text: "grows", open: true }),
    ],
  });
  await here.pass();
  here.press(here.find("textarea"), "ArrowUp");
  expect(here.find<HTMLTextAreaElement>("textarea").value).toBe("mine");
});
