import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { roomList } from "../../src/element/room_list.js";
import type { Lease } from "../../src/element/shared_client.js";
import { h } from "../../src/element/dom.js";
import { fakeClient, fakeLease, type FakeClient } from "./fake_client.js";

let client: FakeClient;
let lease: Lease;
let host: HTMLElement;
let stop: () => void;
let chats: HTMLElement[];

const listed = (room: string, unread = 0, title = room[0]!.toUpperCase() + room.slice(1)) => ({
  room,
  title,
  kind: "public",
  read: 1,
  unread,
});
const answer = (...rooms: object[]): void => {
  vi.mocked(lease.get).mockResolvedValue({ rooms });
};
const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const names = (): (string | undefined)[] =>
  [...host.querySelectorAll<HTMLElement>("li")].map(({ dataset }) => dataset["room"]);
const link = (room: string): HTMLAnchorElement =>
  host.querySelector<HTMLAnchorElement>(`[data-room="${room}"] a`)!;
const opened = (): (string | null)[] => chats.map((chat) => chat.getAttribute("room"));
const badge = (room: string): string =>
  link(room).querySelector(".badge [aria-hidden]")!.textContent;
const online = (): void => {
  client.state.set({ status: "online", since: performance.now(), transport: "websocket" });
};

function item(room: string, title: string): HTMLElement {
  return h(
    "li",
    { "data-room": room },
    h("a", { href: `/chat/${room}/` }, h("span", { class: "sign" }, "#"), " ", h("bdi", {}, title)),
  );
}

function start(current = "general"): void {
  host.setAttribute("current", current);
  stop = roomList(host, lease, "en", {}, () => chats);
}

beforeEach(() => {
  vi.useFakeTimers();
  client = fakeClient();
  lease = fakeLease(client);
  chats = [h("div", {}, h("textarea"))];
  host = h("div", {}, h("ul", {}, item("general", "General"), item("help", "Help")));
  document.body.replaceChildren(host, ...chats);
  document.title = "General · Headgate";
  history.replaceState(null, "", "/chat/general/");
  answer(listed("general"), listed("help"));
});
afterEach(() => {
  stop();
  vi.useRealTimers();
});

test("counts are on the links, in their names and in the title", async () => {
  answer(listed("general", 2), listed("help", 100));
  start("other");
  await pass();
  expect([badge("general"), badge("help")]).toEqual(["2", "99+"]);
  expect(link("general").textContent).toBe("# General2, 2 unread");
  expect(document.title).toBe("(99+) General · Headgate");
  answer(listed("general", 2), listed("help"));
  await pass(20_000);
  expect(badge("help")).toBe("");
  expect(document.title).toBe("(2) General · Headgate");
});

test("in a public room where one never was nothing is unread, in one's own all is", async () => {
  answer({ ...listed("general", 100), read: 0 }, { ...listed("help", 3), read: 0, kind: "group" });
  start("other");
  await pass();
  expect([badge("general"), badge("help")]).toEqual(["", "3"]);
  expect(document.title).toBe("(3) General · Headgate");
});

test("the current room is marked", () => {
  start("help");
  expect(link("help").getAttribute("aria-current")).toBe("page");
  expect(link("general").hasAttribute("aria-current")).toBe(false);
});

test("rooms that one gains are added in their order, those that are lost go", async () => {
  start();
  answer(listed("general"), listed("games", 1, "<i>Games</i>"), listed("zoo"));
  client.emit("rooms", { joined: ["games"] });
  await pass();
  expect(names()).toEqual(["games", "general", "zoo"]);
  expect(link("games").getAttribute("href")).toBe("/chat/games/");
  expect(link("games").querySelector("bdi")!.textContent).toBe("<i>Games</i>");
  expect(badge("games")).toBe("1");
});

test("the current room stays, and a page of rooms takes none away", async () => {
  start();
  answer(listed("help"));
  await pass(20_000);
  expect(names()).toEqual(["general", "help"]);
  vi.mocked(lease.get).mockResolvedValue({ rooms: [], next: "x" });
  await pass(20_000);
  expect(names()).toEqual(["general", "help"]);
});

test("the first room of an empty list is found beside the page's own", async () => {
  host.querySelector("ul")!.replaceChildren();
  history.replaceState(null, "", "/help/chat/help/");
  answer(listed("zoo"));
  start("help");
  await pass();
  expect(link("zoo").getAttribute("href")).toBe("/help/chat/zoo/");
});

test("a room that is watched knows best what is unread there", async () => {
  answer(listed("general", 5), listed("help", 3));
  start();
  const { timeline } = client.room("general");
  client.room("general").show({ unread: 0 });
  client.rooms.set(["general"]);
  await pass();
  expect([badge("general"), badge("help")]).toEqual(["", "3"]);
  timeline.set({ ...timeline.get(), unread: 7 });
  expect(badge("general")).toBe("7");
  client.emit("rooms", { unread: { help: 4 } });
  expect(badge("help")).toBe("4");
});

test("it asks at the beginning, every 20 s, after a reconnection, and when it is seen again", async () => {
  const seen = vi.spyOn(document, "visibilityState", "get").mockReturnValue("visible");
  client.state.set({ status: "connecting", attempt: 1 });
  start();
  expect(lease.get).toHaveBeenCalledTimes(1);
  online();
  expect(lease.get).toHaveBeenCalledTimes(1);
  client.state.set({ status: "connecting", attempt: 1 });
  online();
  expect(lease.get).toHaveBeenCalledTimes(2);
  await pass(20_000);
  expect(lease.get).toHaveBeenCalledTimes(3);
  seen.mockReturnValue("hidden");
  await pass(60_000);
  expect(lease.get).toHaveBeenCalledTimes(3);
  seen.mockReturnValue("visible");
  document.dispatchEvent(new Event("visibilitychange"));
  expect(lease.get).toHaveBeenCalledTimes(4);
  stop();
  await pass(60_000);
  document.dispatchEvent(new Event("visibilitychange"));
  expect(lease.get).toHaveBeenCalledTimes(4);
});

test("an answer that fails changes nothing", async () => {
  vi.mocked(lease.get).mockRejectedValue(new Error("503"));
  start();
  await pass(20_000);
  expect(names()).toEqual(["general", "help"]);
});

test("a click shows the room without loading the page", () => {
  start();
  const click = new MouseEvent("click", { bubbles: true, cancelable: true });
  link("help").querySelector("bdi")!.dispatchEvent(click);
  expect(click.defaultPrevented).toBe(true);
  expect(opened()).toEqual(["help"]);
  expect(host.getAttribute("current")).toBe("help");
  expect(location.pathname).toBe("/chat/help/");
  expect(document.title).toBe("Help · Headgate");
  expect(link("help").getAttribute("aria-current")).toBe("page");
  history.replaceState(null, "", "/chat/general/");
  window.dispatchEvent(new PopStateEvent("popstate"));
  expect(opened()).toEqual(["general"]);
  expect(document.title).toBe("General · Headgate");
});

test.each([
  { ctrlKey: true },
  { metaKey: true },
  { shiftKey: true },
  { altKey: true },
  { button: 1 },
])("a click with %o is the browser's", (modifiers) => {
  start();
  const click = new MouseEvent("click", { bubbles: true, cancelable: true, ...modifiers });
  link("help").dispatchEvent(click);
  expect(click.defaultPrevented).toBe(false);
  expect(opened()).toEqual([null]);
});

test("a click on the current room is no step in the history", () => {
  start();
  const steps = history.length;
  link("general").dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  expect(history.length).toBe(steps);
  link("help").dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  expect(history.length).toBe(steps + 1);
});

test("where the page has no chat, a link is a link", () => {
  chats = [];
  start();
  const click = new MouseEvent("click", { bubbles: true, cancelable: true });
  link("help").dispatchEvent(click);
  expect(click.defaultPrevented).toBe(false);
  expect(host.getAttribute("current")).toBe("general");
});

test.each([
  [true, "TEXTAREA"],
  [false, "A"], // a keyboard would cover half of the screen
])("where there is a pointer that hovers (%s), a click leads to %s", (hovers, tag) => {
  vi.spyOn(window, "matchMedia").mockImplementation(
    (query) => ({ matches: query === "(hover: hover)" && hovers }) as MediaQueryList,
  );
  start();
  link("help").focus();
  link("help").click();
  expect(document.activeElement!.tagName).toBe(tag);
});

test("a chat finds the address already changed, and so do the page's ways to sign in", () => {
  const signIn = h("a", { href: "/sign-in/?next=/chat/general/", "data-headgate-sign-in": true });
  document.body.append(signIn);
  start();
  let seen = "";
  vi.spyOn(chats[0]!, "setAttribute").mockImplementation(() => {
    seen = location.pathname;
  });
  link("help").click();
  expect(seen).toBe("/chat/help/");
  expect(new URL(signIn.href, location.href).searchParams.get("next")).toBe("/chat/help/");
});

test("a room that has another title is listed by it", async () => {
  start();
  answer(listed("general"), listed("help", 0, "First aid"));
  await pass(20_000);
  expect(link("help").querySelector("bdi")!.textContent).toBe("First aid");
});

test("a room without a title is listed by its name", async () => {
  start();
  answer(listed("general"), listed("help", 0, ""), listed("zoo", 0, ""));
  await pass(20_000);
  expect(link("help").textContent).toContain("help");
  expect(link("zoo").textContent).toContain("zoo");
});
