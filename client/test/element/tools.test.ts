import { afterEach, expect, test, vi } from "vitest";

import { ChatError } from "../../src/errors.js";
import { ADA, message, outgoing, ZOE } from "./fake_client.js";
import { stage, type Stage } from "./stage.js";

let here: Stage;
afterEach(() => here.stop());

const labels = (): string[] => here.texts(".tools button");

async function open(rest: Partial<Parameters<Stage["room"]["show"]>[0]>): Promise<void> {
  here = stage();
  here.room.show(rest);
  await here.pass();
  here.find("article").focus();
}

test("of others' messages one can answer", async () => {
  await open({ messages: [message(1)] });
  expect(labels()).toEqual(["Reply"]);
});

test("one's own can be edited and deleted, after a question", async () => {
  await open({ messages: [message(1, { author: ADA })] });
  expect(labels()).toEqual(["Reply", "Edit", "Delete"]);
  here.click(".tools button", "Delete");
  expect(here.room.delete).not.toHaveBeenCalled();
  expect(here.find(".tools").textContent).toContain("Delete this message for everybody?");
  expect(document.activeElement?.textContent).toBe("Delete");
  here.click(".tools button", "Cancel");
  expect(labels()).toEqual(["Reply", "Edit", "Delete"]);
  expect(document.activeElement).toBe(here.find("article"));
  here.click(".tools button", "Delete");
  here.click(".tools button", "Delete");
  expect(here.room.delete).toHaveBeenCalledExactlyOnceWith(1);
});

test("a deletion that is refused says why", async () => {
  await open({ messages: [message(1, { author: ADA })] });
  vi.mocked(here.room.delete).mockRejectedValue(new ChatError("forbidden", "You may not."));
  here.click(".tools button", "Delete");
  here.click(".tools button", "Delete");
  await here.pass();
  expect(here.texts(".notice")).toEqual(["You may not."]);
});

test("nothing can be done to what is deleted, to the server's own, or where one only reads", async () => {
  await open({ messages: [message(1, { deleted: true, text: "" })] });
  expect(labels()).toEqual([]);
  here.room.show({ messages: [message(2, { kind: "system", text: "…" })] });
  await here.pass();
  here.find("article").focus();
  expect(labels()).toEqual([]);
  here.room.show({ messages: [message(3)], readOnly: true });
  await here.pass();
  here.find("article").focus();
  expect(labels()).toEqual([]);
});

test("what waits can be taken back", async () => {
  await open({ unsent: [outgoing("a", { status: "waiting" })] });
  expect(labels()).toEqual(["Edit", "Discard"]);
  here.click(".tools button", "Discard");
  expect(here.room.discard).toHaveBeenCalledExactlyOnceWith("a");
});

test.each([
  ["Mute for 10 min", "Mute Zoë in this room for 10 min?", { mute_ms: 600_000 }],
  ["Mute for 1 day", "Mute Zoë in this room for 1 day?", { mute_ms: 86_400_000 }],
  ["Ban", "Ban Zoë from this room?", { banned: true }],
])("a moderator can %s, after a question", async (label, question, body) => {
  await open({ messages: [message(1, { author: ZOE })], moderates: true });
  expect(labels()).toEqual(["Reply", "Delete", "Moderate"]);
  here.click(".tools button", "Moderate");
  here.click(".tools button", label);
  expect(here.lease.patch).not.toHaveBeenCalled();
  expect(here.find(".tools").textContent).toContain(question);
  here.click(".tools .danger");
  await here.pass();
  expect(here.lease.patch).toHaveBeenCalledExactlyOnceWith("rooms/general/members/g%3A1", body);
  expect(here.texts(".notice")).toEqual(["Done."]);
});

test.each([
  ["Unmute", { mute_ms: 0 }],
  ["Unban", { banned: false }],
])("a moderator can %s at once", async (label, body) => {
  await open({ messages: [message(1, { author: ZOE })], moderates: true });
  here.click(".tools button", "Moderate");
  here.click(".tools button", label);
  expect(here.lease.patch).toHaveBeenCalledExactlyOnceWith("rooms/general/members/g%3A1", body);
});

test("a moderator does not moderate their own messages", async () => {
  await open({ messages: [message(1, { author: ADA })], moderates: true });
  expect(labels()).toEqual(["Reply", "Edit", "Delete"]);
});

test("what a moderator may not do is said", async () => {
  await open({ messages: [message(1, { author: ZOE })], moderates: true });
  vi.mocked(here.lease.patch).mockRejectedValue(new ChatError("forbidden", "Not an owner."));
  here.click(".tools button", "Moderate");
  here.click(".tools button", "Unban");
  await here.pass();
  expect(here.texts(".notice")).toEqual(["Not an owner."]);
});

test("Escape closes a question, and the message has the focus again", async () => {
  await open({ messages: [message(1, { author: ZOE })], moderates: true });
  here.click(".tools button", "Moderate");
  here.press(document.activeElement!, "Escape");
  expect(labels()).toEqual(["Reply", "Delete", "Moderate"]);
  expect(document.activeElement).toBe(here.find("article"));
});

test("the tools follow the pointer, but not away from a question", async () => {
  await open({ messages: [message(1), message(2, { author: ADA })] });
  const [first, second] = here.all("li[data-key]");
  second!.dispatchEvent(new Event("pointerover", { bubbles: true }));
  expect(here.find(".tools").parentNode).toBe(second);
  here.click(".tools button", "Delete");
  first!.dispatchEvent(new Event("pointerover", { bubbles: true }));
  expect(here.find(".tools").parentNode).toBe(second);
  expect(here.find(".tools").textContent).toContain("for everybody?");
});

test("a finger that touches a message does not find a tool under it", async () => {
  here = stage();
  here.room.show({ messages: [message(1)] });
  await here.pass();
  const row = here.find("li[data-key]");
  row.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "touch" }));
  expect(here.all(".tools")).toEqual([]);
  here.find("article").focus(); // as the touch then does
  expect(here.find(".tools").parentNode).toBe(row);
});

test("the tools are those of the message as it is now", async () => {
  await open({ unsent: [outgoing("a")] });
  expect(labels()).toEqual(["Edit", "Discard"]);
  here.find(".tools button").focus();
  const saved = message(3, { author: ADA, client_id: "a" });
  here.room.show({ messages: [saved], unsent: [] });
  await here.pass();
  expect(labels()).toEqual(["Reply", "Edit", "Delete"]);
  expect(document.activeElement).toBe(here.find("article"));
  here.room.show({ messages: [{ ...saved, deleted: true, text: "" }] });
  await here.pass();
  expect(labels()).toEqual([]);
});

test("a question stays while its message changes", async () => {
  const mine = message(3, { author: ADA });
  await open({ messages: [mine] });
  here.click(".tools button", "Delete");
  here.room.show({ messages: [{ ...mine, text: "edited", edited: 4 }] });
  await here.pass();
  expect(here.find(".tools").textContent).toContain("for everybody?");
  expect(document.activeElement?.textContent).toBe("Delete");
  here.find("article").focus();
  expect(here.find(".tools").textContent).toContain("for everybody?");
});

test("what is done is said for a while, to the eye too", async () => {
  await open({ messages: [message(1)], moderates: true });
  here.click(".tools button", "Moderate");
  here.click(".tools button", "Unmute");
  await here.pass();
  expect(here.texts(".notice.good")).toEqual(["Done."]);
  await here.pass(5_000);
  expect(here.texts(".notice")).toEqual([""]);
  vi.mocked(here.lease.patch).mockRejectedValue(new ChatError("forbidden", "You may not."));
  here.click(".tools button", "Moderate");
  here.click(".tools button", "Unmute");
  await here.pass(60_000);
  expect(here.texts(".notice:not(.good)")).toEqual(["You may not."]); // this stays
});

test("the tools of a message stay as they are while it grows, and are others at its end", async () => {
  const mine = message(3, { author: ADA, open: true, text: "a" });
  await open({ messages: [mine] });
  expect(labels()).toEqual(["Reply", "Delete"]);
  const button = here.find(".tools button");
  button.focus();
  here.room.show({ messages: [{ ...mine, text: "ab" }] });
  await here.pass();
  expect(document.activeElement).toBe(button);
  here.find("li[data-key]").dispatchEvent(new Event("pointerover", { bubbles: true }));
  expect(here.find(".tools button")).toBe(button);
  here.find("article").focus();
  const { open: _, ...ended } = mine;
  here.room.show({ messages: [{ ...ended, text: "abc" }] });
  await here.pass();
  expect(labels()).toEqual(["Reply", "Edit", "Delete"]);
});
