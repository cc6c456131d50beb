import { afterEach, expect, test, vi } from "vitest";

import { ChatError } from "../../src/errors.js";
import type { ConnectionState } from "../../src/types.js";
import { ADA, BEN, message, outgoing, ZOE } from "./fake_client.js";
import { stage, type Stage } from "./stage.js";

let here: Stage;
afterEach(() => {
  here.stop();
  localStorage.clear();
});

const reason = { code: 1006, text: "", by: "network" } as const;

function visible(on: boolean): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(on ? "visible" : "hidden");
  document.dispatchEvent(new Event("visibilitychange"));
}

// --- how the room is ---

test("the room is watched while it is shown", () => {
  here = stage();
  expect(here.room.join).toHaveBeenCalledOnce();
  here.room.show({ unsent: [outgoing("a")] });
  here.client.emit("message", message(1));
  here.stop();
  expect(here.room.leave).toHaveBeenCalledOnce();
});

test("a room that loads is busy, an empty one says so, and a refused one says why", async () => {
  here = stage({ sign_in: "/sign-in/" }, (room) => room.show({ status: "loading" }));
  await here.pass();
  expect(here.find("section").getAttribute("aria-busy")).toBe("true");
  expect(here.find(".skeleton").hidden).toBe(false);
  expect(here.find(".empty a").hidden).toBe(true);
  expect(here.texts(".empty p.unseen")).toEqual(["Loading…"]);
  here.room.show({ status: "live" });
  await here.pass();
  expect(here.find("section").getAttribute("aria-busy")).toBe("false");
  expect(here.texts(".state")).toEqual(["No messages yet. Say hello!"]);
  here.room.show({
    status: "refused",
    error: new ChatError("not_found", "There is no such room."),
  });
  await here.pass();
  expect(here.texts(".state")).toEqual(["There is no such room."]);
  expect(here.find(".empty a").hidden).toBe(false);
  expect(here.find(".composer").hidden).toBe(true);
  expect(here.find(".silence").hidden).toBe(true);
  here.room.show({ messages: [message(1)] });
  await here.pass();
  expect(here.find(".silence").hidden).toBe(false);
  expect(here.texts(".silence")).toEqual(["There is no such room."]);
  here.room.show({ status: "live" });
  await here.pass();
  expect(here.find(".empty").hidden).toBe(true);
});

test("the title is the room's, as text", async () => {
  here = stage();
  here.room.show({ title: "<i>Tea</i>" });
  await here.pass();
  expect(here.texts("h2")).toEqual(["<i>Tea</i>"]);
  expect(here.find("section").getAttribute("aria-label")).toBe("Messages in <i>Tea</i>");
});

// --- the connection ---

test("an interruption below 2 s is nobody's business", async () => {
  here = stage();
  here.client.state.set({ status: "connecting", attempt: 1 });
  await here.pass(1_500);
  expect(here.find(".banner").hidden).toBe(true);
  here.client.state.set({ status: "online", since: 0, transport: "websocket" });
  await here.pass(5_000);
  expect(here.find(".banner").hidden).toBe(true);
});

test("the next try is counted down, and one need not wait for it", async () => {
  here = stage();
  const nextTryAt = here.client.clock.now() + 9_000;
  here.client.state.set({ status: "waiting", attempt: 2, nextTryAt, reason });
  await here.pass(2_100);
  expect(here.find(".banner span").textContent).toBe("Reconnecting in 7 sec");
  await here.pass(3_000);
  expect(here.find(".banner span").textContent).toBe("Reconnecting in 4 sec");
  here.click(".banner button");
  expect(here.client.retryNow).toHaveBeenCalledOnce();
  here.client.state.set({ status: "online", since: 0, transport: "websocket" });
  await here.pass();
  expect(here.find(".banner").hidden).toBe(true);
});

test("offline says what will be sent", async () => {
  here = stage();
  here.client.state.set({ status: "offline", reason });
  await here.pass(3_000);
  expect(here.find(".banner span").textContent).toBe("You are offline.");
  here.client.outbox.set([outgoing("a"), outgoing("b"), outgoing("c")]);
  await here.pass();
  expect(here.find(".banner span").textContent).toBe(
    "You are offline. 3 messages will be sent when you are back.",
  );
  expect(here.find(".banner button").hidden).toBe(true);
});

test("the end for good is said at once, with its reason", async () => {
  here = stage();
  const closed: ConnectionState = {
    status: "closed",
    reason: { code: 4503, text: "Your access has ended.", by: "server" },
  };
  here.client.state.set(closed);
  await here.pass();
  expect(here.find(".banner").hidden).toBe(false);
  expect(here.find(".banner span").textContent).toBe("Your access has ended.");
  await here.pass();
  expect(here.texts("[role=status].unseen")).toEqual(["Your access has ended."]);
});

// --- people ---

test.each([
  [[], ""],
  [[BEN], "Ben is writing…"],
  [[BEN, ZOE], "Ben and Zoë are writing…"],
  [[BEN, ZOE, ADA], "Several people are writing…"],
])("who writes: %#", async (people, text) => {
  here = stage();
  here.room.typists.set(people);
  await here.pass();
  expect(here.texts(".typing")).toEqual([text]);
});

test("who is here is a number, and opened it is names", async () => {
  here = stage();
  here.room.presence.set({ here: [ADA, ZOE], off: false });
  await here.pass();
  const details = here.find<HTMLDetailsElement>(".people");
  expect(here.texts("summary")).toEqual(["2 here"]);
  expect(here.all(".people li")).toEqual([]);
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
  expect(here.texts(".people bdi")).toEqual(["Ada", "Zoë"]);
  const [ada] = here.all(".people li");
  here.room.allow({ remaining: 3 });
  await here.pass();
  expect(here.all(".people li")[0]).toBe(ada); // what one looks at is not made anew
  here.room.presence.set({ here: [ADA, ZOE, BEN], off: false });
  await here.pass();
  expect(here.texts(".people bdi")).toEqual(["Ada", "Zoë", "Ben"]);
  // A click into the list does not close it, and the keys can scroll it.
  const list = here.find(".people ul");
  expect(list.tabIndex).toBe(0);
  here.find("summary").focus();
  list.focus();
  expect(document.activeElement).toBe(list);
  expect(details.open).toBe(true);
  here.press(details, "Escape");
  expect(details.open).toBe(false);
  for (const presence of [
    { here: [ADA], off: true },
    { here: [], off: false },
  ]) {
    here.room.presence.set(presence);
    await here.pass();
    expect(details.hidden).toBe(true);
  }
});

test("a moderator sets the slow mode, and sees what another one sets", async () => {
  here = stage();
  await here.pass();
  expect(here.find(".slow").hidden).toBe(true);
  vi.mocked(here.lease.get).mockResolvedValue({ slow_mode_ms: 30_000 });
  here.room.show({ moderates: true });
  await here.pass();
  const select = here.find<HTMLSelectElement>("select");
  expect(here.lease.get).toHaveBeenCalledExactlyOnceWith("rooms/general");
  expect([...select.options].map(({ text }) => text)).toEqual([
    "Off",
    "5 sec",
    "10 sec",
    "30 sec",
    "1 min",
    "5 min",
    "1 hr",
  ]);
  expect(select.value).toBe("30000");
  vi.mocked(here.lease.patch).mockResolvedValue({ slow_mode_ms: 5_000 });
  select.value = "5000";
  select.dispatchEvent(new Event("change"));
  await here.pass();
  expect(here.lease.patch).toHaveBeenCalledExactlyOnceWith("rooms/general", {
    slow_mode_ms: 5_000,
  });
  expect(select.value).toBe("5000");
  here.client.emit("push", { push: "room", room: "general", slow_mode_ms: 45_000 });
  expect(select.selectedOptions[0]!.text).toBe("45 sec");
  here.client.emit("push", { push: "room", room: "other", slow_mode_ms: 0 });
  expect(select.value).toBe("45000");
});

test("a slow mode that is refused stays what it was", async () => {
  here = stage();
  vi.mocked(here.lease.get).mockResolvedValue({});
  here.room.show({ moderates: true });
  await here.pass();
  vi.mocked(here.lease.patch).mockRejectedValue(new ChatError("forbidden", "You may not."));
  const select = here.find<HTMLSelectElement>("select");
  select.value = "5000";
  select.dispatchEvent(new Event("change"));
  await here.pass();
  expect(here.texts(".notice")).toEqual(["You may not."]);
  expect(select.value).toBe("0");
});

// --- guests ---

test("a guest says a name before writing, and can change it", async () => {
  here = stage({ guest: true, sign_in: "/sign-in/" }, (_, client) => client.user.set(null));
  await here.pass();
  expect(here.find(".composer").hidden).toBe(true);
  expect(here.find(".introduction").hidden).toBe(false);
  expect(here.find(".introduction a").getAttribute("href")).toBe("/sign-in/");
  const input = here.find<HTMLInputElement>(".introduction input");
  input.value = " Zoë ";
  here.find<HTMLFormElement>(".introduction").requestSubmit();
  expect(here.client.rename).toHaveBeenCalledExactlyOnceWith("Zoë");
  here.client.user.set(ZOE);
  await here.pass(50);
  expect(here.find(".composer").hidden).toBe(false);
  expect(document.activeElement).toBe(here.find("textarea"));
  expect(here.texts(".self span")).toEqual(["You are Zoë"]);
  here.click(".self button");
  await here.pass(50);
  expect(here.find(".introduction").hidden).toBe(false);
  expect(input.value).toBe("Zoë");
  here.click(".introduction button", "Cancel");
  await here.pass(50);
  expect(here.find(".composer").hidden).toBe(false);
});

test("a guest who is known need not say it again", async () => {
  localStorage.setItem("headgate.guest", JSON.stringify({ token: "t", name: "Zoë" }));
  here = stage({ guest: true }, (_, client) => client.user.set(null));
  await here.pass();
  expect(here.find(".composer").hidden).toBe(false);
  expect(here.texts(".self span")).toEqual(["You are Zoë"]);
});

test("whoever has an account is not asked", async () => {
  here = stage();
  await here.pass();
  expect(here.find(".introduction").hidden).toBe(true);
  expect(here.find(".self").hidden).toBe(true);
});

// --- what is heard ---

test("messages of others are said, a burst as its number, one at a time", async () => {
  here = stage();
  const region = here.find("[role=status].unseen");
  const say = (n: number): void => {
    for (let seq = 1; seq <= n; seq++) here.client.emit("message", message(seq));
  };
  say(1);
  await here.pass();
  expect(region.textContent).toBe("Ben: message 1");
  say(5);
  await here.pass(1_000);
  expect(region.textContent).toBe("Ben: message 1");
  await here.pass(1_000);
  expect(region.textContent).toBe("5 new messages");
  here.client.emit("message", message(9, { author: ADA }));
  here.client.emit("message", message(9, { room: "other" }));
  await here.pass(5_000);
  expect(region.textContent).toBe("5 new messages");
});

test("the same words again are said again", async () => {
  here = stage();
  const region = here.find("[role=status].unseen");
  const said: string[] = [];
  new MutationObserver(() => said.push(region.textContent.trim())).observe(region, {
    childList: true,
  });
  for (let n = 0; n < 2; n++) {
    here.client.emit("message", message(1, { text: "yes" }));
    await here.pass(2_000);
  }
  expect(said).toEqual(["Ben: yes", "Ben: yes"]);
});

test("a message that failed is said at once", async () => {
  here = stage();
  const error = new ChatError("muted", "You are muted.");
  here.room.show({ unsent: [outgoing("a", { status: "failed", error })] });
  expect(here.texts("[role=alert].unseen")).toEqual(["Not sent: You are muted."]);
});

test("the log itself is silent", () => {
  here = stage();
  expect(here.find("[role=log]").getAttribute("aria-live")).toBe("off");
});

// --- keys ---

test("one message can be reached by Tab, the others by arrows", async () => {
  here = stage();
  here.room.show({ messages: [message(1), message(2), message(3)] });
  await here.pass();
  const articles = here.all("article");
  const stops = (): number[] => articles.map(({ tabIndex }) => tabIndex);
  expect(stops()).toEqual([-1, -1, 0]);
  articles[2]!.focus();
  here.press(articles[2]!, "ArrowUp");
  expect(document.activeElement).toBe(articles[1]);
  expect(stops()).toEqual([-1, 0, -1]);
  here.press(articles[1]!, "Home");
  expect(document.activeElement).toBe(articles[0]);
  here.press(articles[0]!, "ArrowUp");
  expect(document.activeElement).toBe(articles[0]);
  here.press(articles[0]!, "ArrowDown");
  expect(document.activeElement).toBe(articles[1]);
  here.press(articles[1]!, "End");
  expect(document.activeElement).toBe(articles[2]);
  here.press(articles[2]!, "Escape");
  expect(document.activeElement).toBe(here.find("textarea"));
});

test("when the message with the focus goes, another one can be reached", async () => {
  here = stage();
  here.room.show({ messages: [message(1), message(2)] });
  await here.pass();
  here.room.show({ messages: [message(1)] });
  await here.pass();
  expect(here.all("article").map(({ tabIndex }) => tabIndex)).toEqual([0]);
});

// --- the page ---

test("a hidden page reads nothing, and what came meanwhile is new", async () => {
  here = stage();
  here.room.show({ messages: [message(1)], head: 1 });
  await here.pass();
  expect(here.room.markRead).toHaveBeenLastCalledWith(1);
  visible(false);
  here.room.show({ messages: [message(1), message(2)], head: 2 });
  await here.pass(1_000);
  expect(here.room.markRead).toHaveBeenLastCalledWith(1);
  expect(here.texts(".messages .text")).toEqual(["message 1", "message 2"]);
  visible(true);
  await here.pass();
  expect(here.room.markRead).toHaveBeenLastCalledWith(2);
  expect(here.all("li[data-key]").map((row) => row.querySelectorAll(".new").length)).toEqual([
    0, 1,
  ]);
});

test("where nothing came meanwhile, what comes later is not new", async () => {
  here = stage();
  here.room.show({ messages: [message(1)], head: 1 });
  await here.pass();
  visible(false);
  await here.pass(1_000);
  visible(true);
  here.room.show({ messages: [message(1), message(2)], head: 2 });
  await here.pass();
  expect(here.all(".new")).toEqual([]);
});

// --- what is elsewhere on the page ---

test("the way to sign in leads back to where one is", async () => {
  history.replaceState(null, "", "/chat/help/?a=1&b=2");
  const sign_in = "/accounts/?by=mail&next=/chat/general/";
  here = stage({ sign_in, guest: true }, (_room, client) => client.user.set(ZOE));
  await here.pass();
  const hrefs = here.all("a").map((link) => link.getAttribute("href"));
  expect(hrefs).toHaveLength(3);
  for (const href of hrefs) {
    const { pathname, searchParams } = new URL(href!, location.href);
    expect(pathname).toBe("/accounts/");
    expect([...searchParams]).toEqual([
      ["by", "mail"],
      ["next", "/chat/help/?a=1&b=2"],
    ]);
  }
});

test("a message that grows is said once: when it has ended, with how", async () => {
  here = stage();
  const region = here.find("[role=status].unseen");
  const said: string[] = [];
  const observer = new MutationObserver(() => said.push(region.textContent));
  observer.observe(region, { childList: true, characterData: true, subtree: true });
  const grown = (text: string, rest = {}) => message(1, { author: BEN, text, open: true, ...rest });
  here.client.emit("message", grown(""));
  for (const text of ["", "Half", "Half of", "Half of it."]) {
    here.room.show({ messages: [grown(text)] });
    await here.pass(2_000);
  }
  expect(said).toEqual([]);
  const { open: _, ...ended } = grown("Half of it. Yes", { state: "cut" });
  here.room.show({ messages: [ended] });
  await here.pass(2_000);
  expect(said.join()).toBe("The answer was cut off. Ben: Half of it. Yes");
  // Somebody who edits it later says nothing new.
  here.room.show({ messages: [{ ...ended, edited: 9 }] });
  await here.pass(2_000);
  observer.disconnect();
  expect(said).toHaveLength(1);
});

test("one's own message that grows is not said, nor one that is deleted", async () => {
  here = stage();
  const region = here.find("[role=status].unseen");
  const open = [message(1, { author: ADA, open: true }), message(2, { open: true })];
  here.room.show({ messages: open });
  await here.pass();
  here.room.show({
    messages: [message(1, { author: ADA }), message(2, { text: "", deleted: true })],
  });
  await here.pass(2_000);
  expect(region.textContent).toBe("");
});
