import { expect, test, vi } from "vitest";
import { FakeClock } from "./fakes/fake_clock.js";
import { ADA, FakeServer, POLICIES, ZOE } from "./fakes/fake_server.js";
import { openPage, texts, type Page } from "./fakes/page.js";
import type { ClientOptions } from "../src/types.js";

async function joined(options: ClientOptions = {}, on: Partial<Page> = {}): Promise<Page> {
  const page = openPage({ rooms: ["general"], ...options }, on);
  await page.clock.advance(500);
  return page;
}

function said(page: Page, cmd: string): Record<string, unknown>[] {
  return page.server.commands.filter((command) => command.cmd === cmd);
}

// --- typing ---

test("that one writes is said at once, then every three seconds, and that one stopped", async () => {
  const page = await joined();
  const room = page.client.room("general");
  for (let ms = 0; ms < 7_000; ms += 100) {
    room.typing();
    await page.clock.advance(100);
  }
  expect(said(page, "typing")).toMatchObject(
    [1, 2, 3].map(() => ({ cmd: "typing", room: "general" })),
  );
  room.typing(false);
  room.typing(false);
  await page.clock.advance(10_000);
  expect(said(page, "typing")).toHaveLength(4);
  expect(said(page, "typing").at(-1)).toMatchObject({
    cmd: "typing",
    room: "general",
    typing: false,
  });
});

test("a signal is lost without a connection, and not sent later", async () => {
  const page = await joined();
  const room = page.client.room("general");
  room.typing();
  room.typing();
  page.server.drop();
  room.typing();
  await page.clock.advance(60_000);
  expect(said(page, "typing")).toHaveLength(0); // the first was on its way
  room.typing();
  await page.clock.advance(20);
  expect(said(page, "typing")).toHaveLength(1);
});

test("a message ends the typing before it", async () => {
  const page = await joined();
  const room = page.client.room("general");
  room.typing();
  room.typing();
  room.send("hi");
  room.typing(false);
  await page.clock.advance(10_000);
  expect(said(page, "typing")).toHaveLength(1);
});

test("others who write are shown until their message is there; oneself is not", async () => {
  const page = await joined();
  const room = page.client.room("general");
  const typing = { push: "typing", room: "general", typing: true };
  page.server.push({ ...typing, author: ADA });
  page.server.push({ ...typing, author: ZOE });
  await page.clock.advance(20);
  expect(room.typists.get()).toEqual([ADA]);
  page.server.say("general", "hi", ADA);
  await page.clock.advance(20);
  expect(room.typists.get()).toEqual([]);
  page.server.push({ ...typing, author: ADA });
  await page.clock.advance(20);
  page.server.drop();
  expect(room.typists.get()).toEqual([]);
});

test("who is here is told", async () => {
  const page = await joined();
  page.server.push({ push: "presence", room: "general", here: [ADA] });
  page.server.push({ push: "presence", room: "general", joined: [ZOE] });
  await page.clock.advance(20);
  expect(page.client.room("general").presence.get()).toEqual({ here: [ADA, ZOE], off: false });
});

test("who was here is not who is here after a return", async () => {
  const page = await joined();
  page.server.push({ push: "presence", room: "general", here: [ADA] });
  await page.clock.advance(20);
  page.server.drop();
  await page.clock.advance(3_000);
  expect(page.client.room("general").timeline.get().status).toBe("live");
  expect(page.client.room("general").presence.get()).toEqual({ here: [], off: false });
});

test("a room that is left before it was joined is not watched", async () => {
  const clock = new FakeClock();
  const command = { burst: 2, perSecond: 0.5, key: "connection" as const };
  const server = new FakeServer(clock, { ...POLICIES, command });
  const page = openPage({ rooms: ["one", "two"] }, { clock, server });
  await clock.advance(200);
  page.client.room("two").leave();
  await clock.advance(20_000);
  const heard: unknown[] = [];
  page.client.on("push", (push) => heard.push(push.room));
  server.say("one", "hi");
  server.say("two", "hi");
  await clock.advance(100);
  expect(heard).toEqual(["one"]);
});

test("rooms that are called like what objects have are rooms like others", async () => {
  const page = openPage({ rooms: ["constructor", "toString"] });
  await page.clock.advance(500);
  page.server.say("constructor", "one");
  await page.clock.advance(20);
  page.server.sockets.last.received = () => undefined; // no answer any more
  const { sent } = page.client.room("constructor").send("two");
  page.client.room("valueOf").join();
  page.server.drop();
  await page.clock.advance(5_000);
  await expect(sent).resolves.toMatchObject({ seq: 2 });
  for (const name of ["constructor", "toString", "valueOf"]) {
    expect(page.client.room(name).timeline.get()).toMatchObject({ status: "live", epoch: "e1" });
  }
  expect(page.server.commands.filter(({ cmd }) => cmd === "hello").at(-1)!["pending"]).toEqual({
    constructor: [expect.any(String)],
  });
});

// --- the read mark ---

test("the read mark is sent once a burst is over, and never moves back nor past the head", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const room = client.room("general");
  for (let number = 1; number <= 5; number++) server.say("general", `${number}`);
  await clock.advance(20);
  expect(room.timeline.get()).toMatchObject({ read: 0, unread: 5 });
  for (const seq of [1, 3, 2]) room.markRead(seq);
  expect(room.timeline.get()).toMatchObject({ read: 3, unread: 2 });
  await clock.advance(499);
  expect(said(page, "read")).toHaveLength(0);
  await clock.advance(20);
  expect(said(page, "read")).toMatchObject([{ seq: 3 }]);
  room.markRead(99);
  expect(room.timeline.get()).toMatchObject({ read: 5, unread: 0 });
});

test("a read mark that moves all the time is sent every two seconds", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  for (let number = 1; number <= 50; number++) {
    server.say("general", `${number}`);
    await clock.advance(100);
    client.room("general").markRead(number);
  }
  expect(said(page, "read").length).toBeGreaterThanOrEqual(2);
  expect(said(page, "read").length).toBeLessThanOrEqual(3);
});

test("a read mark without a connection is sent once, after the next welcome", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  for (let number = 1; number <= 3; number++) server.say("general", `${number}`);
  await clock.advance(20);
  server.down = true;
  server.drop();
  client.room("general").markRead(2);
  await clock.advance(10_000);
  client.room("general").markRead(3);
  await clock.advance(10_000);
  server.down = false;
  await clock.advance(60_000);
  expect(said(page, "read")).toMatchObject([{ seq: 3 }]);
  expect(server.room("general").read.get(ZOE.id)).toBe(3);
});

test("one's own mark of another device counts, another's does not", async () => {
  const page = await joined();
  for (let number = 1; number <= 3; number++) page.server.say("general", `${number}`);
  page.server.push({ push: "read", room: "general", author: ADA, seq: 3 });
  page.server.push({ push: "read", room: "general", author: ZOE, seq: 2 });
  await page.clock.advance(20);
  expect(page.client.room("general").timeline.get()).toMatchObject({ read: 2, unread: 1 });
});

test("what one person was shown is not there for the next, who may not see it", async () => {
  const page = openPage({ rooms: ["general"] });
  await page.clock.advance(500);
  page.server.say("general", "for Zoë alone");
  await page.clock.advance(100);
  expect(texts(page.client, "general")).toEqual(["for Zoë alone"]);
  page.server.identity = ADA;
  page.server.room("general").refused = { code: "not_found", text: "" };
  page.server.drop();
  await page.clock.advance(5_000);
  expect(page.client.room("general").timeline.get()).toMatchObject({
    status: "refused",
    messages: [],
  });
});

test("the next person is shown what they may see, from its newest page on", async () => {
  const page = openPage({ rooms: ["general"] });
  await page.clock.advance(500);
  page.server.say("general", "one");
  await page.clock.advance(100);
  page.server.identity = ADA;
  page.server.drop();
  page.server.say("general", "two", ZOE);
  await page.clock.advance(5_000);
  expect(page.client.room("general").timeline.get().status).toBe("live");
  expect(texts(page.client, "general")).toEqual(["one", "two"]);
  expect(page.server.commands.filter(({ cmd }) => cmd === "history")).toHaveLength(2);
});

// --- drafts ---

const DRAFT = `headgate.draft.${ZOE.id}.general`;

test("a draft is kept a moment later, and there after a reload", async () => {
  const page = await joined();
  const room = page.client.room("general");
  for (const text of ["h", "he", "hello"]) room.setDraft(text);
  expect(room.draft.get()).toBe("hello");
  expect(page.storage.getItem(DRAFT)).toBeNull();
  await page.clock.advance(300);
  expect(page.storage.getItem(DRAFT)).toBe("hello");
  const { clock, server, storage } = page;
  const after = await joined({}, { clock, server, storage });
  expect(after.client.room("general").draft.get()).toBe("hello");
  expect(after.client.room("help").draft.get()).toBe("");
  after.client.room("general").setDraft("");
  await page.clock.advance(300);
  expect(page.storage.getItem(DRAFT)).toBeNull();
});

test("a draft is shown to none but who wrote it", async () => {
  const page = await joined();
  const { draft, setDraft } = page.client.room("general");
  setDraft("Zoë's secret");
  page.server.identity = ADA;
  page.server.drop();
  await page.clock.advance(5_000);
  expect(draft.get()).toBe("");
  setDraft("Ada's");
  page.server.identity = ZOE;
  page.server.drop();
  await page.clock.advance(5_000);
  expect(draft.get()).toBe("Zoë's secret");
  const { clock, server, storage } = page;
  const later = openPage({ rooms: ["general"] }, { clock, server, storage });
  // Nobody is known yet.
  expect(later.client.room("general").draft.get()).toBe("");
  server.identity = ADA;
  await clock.advance(500);
  expect(later.client.room("general").draft.get()).toBe("Ada's");
});

test("what one writes before one is known is one's own, and goes on from what is kept", async () => {
  const page = openPage({ rooms: ["general"] });
  page.storage.setItem(DRAFT, "older");
  page.client.room("general").setDraft("hello");
  await page.clock.advance(1_000);
  expect(page.client.room("general").draft.get()).toBe("older\nhello");
  expect(page.storage.getItem(DRAFT)).toBe("older\nhello");
});

test.each(["hidden", "suspend"] as const)(
  "a draft is kept at once when the page is %s",
  async (event) => {
    const page = await joined();
    page.client.room("general").setDraft("hello");
    page.lifecycle.emit(event);
    expect(page.storage.getItem(DRAFT)).toBe("hello");
  },
);

test("a storage that takes nothing is in nobody's way", async () => {
  const page = openPage();
  page.storage.forbidden = true;
  page.client.room("general").setDraft("hello");
  await page.clock.advance(300);
  expect(page.client.room("general").draft.get()).toBe("hello");
});

// --- what the room is ---

test("how the room stands is shown, and what changes of it", async () => {
  const page = openPage();
  const general = page.server.room("general");
  Object.assign(general, { title: "General", slowModeMs: 30_000 });
  general.read.set(ZOE.id, 0);
  page.server.say("general", "one");
  const room = page.client.room("general");
  room.join();
  await page.clock.advance(500);
  expect(room.timeline.get()).toMatchObject({
    ...{ title: "General", read: 0, unread: 1, moderates: false, readOnly: false, head: 1 },
  });
  expect(room.allowance.get().slowModeMs).toBe(30_000);
  page.server.push({
    push: "room",
    room: "general",
    slow_mode_ms: 30_000,
    exempt: true,
    moderates: true,
  });
  await page.clock.advance(20);
  expect(room.timeline.get().moderates).toBe(true);
  expect(room.allowance.get().slowModeMs).toBe(0);
  page.server.push({ push: "room", room: "general", slow_mode_ms: 0, read_only: true });
  await page.clock.advance(20);
  expect(room.timeline.get()).toMatchObject({ moderates: false, readOnly: true });
});

test("one who moderates need not wait, from the beginning", async () => {
  const page = openPage({ rooms: ["general"] });
  Object.assign(page.server.room("general"), { slowModeMs: 30_000, moderates: true });
  await page.clock.advance(500);
  for (const text of ["a", "b"]) page.client.room("general").send(text);
  await page.clock.advance(100);
  expect(page.server.room("general").log).toHaveLength(2);
});

// --- changing what was said ---

test("an edit and a deletion are answered with their place in the log", async () => {
  const page = await joined();
  const room = page.client.room("general");
  page.server.say("general", "first", ZOE);
  const both = [
    room.edit(1, "better"),
    room.edit(1, { text: "best", data: { a: 1 } }),
    room.delete(1),
  ];
  const [, outcome] = await Promise.all([page.clock.advance(100), Promise.all(both)]);
  expect(outcome.map(({ seq }) => seq)).toEqual([2, 3, 4]);
  expect(room.timeline.get().messages).toMatchObject([{ text: "", deleted: true, edited: 3 }]);
});

test("an edit is refused in the server's words, and lost where there is no connection", async () => {
  const page = await joined();
  const room = page.client.room("general");
  const missing = expect(room.edit(99, "better")).rejects.toMatchObject({ code: "not_found" });
  await page.clock.advance(100);
  await missing;
  page.server.drop();
  await expect(room.edit(1, "better")).rejects.toMatchObject({ code: "lost" });
});

test("edits wait for the limit of messages, and nothing else waits for them", async () => {
  const page = await joined();
  const room = page.client.room("general");
  page.server.say("general", "first", ZOE);
  page.server.say("general", "second", ZOE);
  const edits = Array.from({ length: 12 }, (_, number) => room.edit(1, `edit ${number}`));
  const deletion = room.delete(2);
  await page.clock.advance(100);
  expect(said(page, "edit")).toHaveLength(10);
  expect(said(page, "delete")).toHaveLength(1);
  await Promise.all([...edits, deletion, page.clock.advance(5_000)]);
  expect(said(page, "edit")).toHaveLength(12);
});

// --- what is one's own ---

test("what is saved is shown at once, and its push changes nothing but the seq", async () => {
  const page = await joined();
  const room = page.client.room("general");
  page.server.late = () => 2_000;
  room.send({ text: "hi", kind: "x-a" }, { client_id: "mine" });
  await page.clock.advance(50);
  const shown = room.timeline.get();
  expect(shown.unsent).toEqual([]);
  expect(shown.messages).toEqual(page.server.room("general").messages());
  expect(shown.head).toBe(0);
  await page.clock.advance(2_000);
  expect(room.timeline.get().messages).toEqual(page.server.room("general").messages());
  expect(room.timeline.get().head).toBe(1);
});

test("a push that comes before the reply settles it", async () => {
  const page = await joined();
  const { sent } = page.client.room("general").send("hi");
  const settled = vi.fn();
  void sent.then(settled);
  const socket = page.server.sockets.last;
  const { onmessage } = socket;
  socket.onmessage = (event) => {
    if (!(event.data as string).includes('"reply"')) onmessage!(event);
  };
  await page.clock.advance(50);
  expect(settled).toHaveBeenCalledWith(expect.objectContaining({ seq: 1 }));
  expect(page.client.outbox.get()).toEqual([]);
  expect(texts(page.client, "general")).toEqual(["hi"]);
});

test("somebody else's message with the same client_id settles nothing", async () => {
  const page = await joined();
  page.server.refuse = ({ cmd }) =>
    cmd === "send" ? { code: "overloaded", retry_after_ms: 5_000 } : undefined;
  page.client.room("general").send("hi", { client_id: "same" });
  await page.clock.advance(50);
  page.server.say("general", "not it", ADA, { client_id: "same" });
  await page.clock.advance(50);
  expect(page.client.outbox.get()).toHaveLength(1);
  page.server.refuse = () => undefined;
  await page.clock.advance(10_000);
  expect(texts(page.client, "general")).toEqual(["not it", "hi"]);
});

test("a room that is not joined can be written to", async () => {
  const page = openPage();
  const { sent } = page.client.room("general").send("hi");
  await page.clock.advance(500);
  await expect(sent).resolves.toMatchObject({ seq: 1 });
  expect(page.client.room("general").timeline.get()).toMatchObject({
    status: "idle",
    messages: [],
  });
});

test("another person has a read mark of their own", async () => {
  const page = await joined();
  for (let number = 1; number <= 3; number++) page.server.say("general", `${number}`);
  await page.clock.advance(20);
  page.client.room("general").markRead(3);
  await page.clock.advance(1_000);
  page.server.identity = { id: "u:9", kind: "user", name: "Grace" };
  page.server.drop();
  await page.clock.advance(10_000);
  expect(page.client.room("general").timeline.get()).toMatchObject({ read: 0, unread: 3 });
  expect(page.server.room("general").read.has("u:9")).toBe(false);
});

test("a message that grows is stopped like one is deleted: with its place in the log", async () => {
  const page = await joined();
  const { seq } = page.server.begin("general");
  await page.clock.advance(20);
  const stopped = page.client.room("general").cancel(seq);
  await page.clock.advance(50);
  await expect(stopped).resolves.toEqual({ seq: 2, client_id: "" });
  expect(page.client.room("general").timeline.get().messages).toMatchObject([
    { state: "cancelled" },
  ]);
  const again = page.client.room("general").cancel(seq);
  const refused = expect(again).rejects.toMatchObject({ code: "not_growing" });
  await page.clock.advance(50);
  await refused;
  page.server.drop();
  await expect(page.client.room("general").cancel(seq)).rejects.toMatchObject({ code: "lost" });
});

test("parts of one's own message are counted by their own limit, and no messages", async () => {
  const policies = { ...POLICIES, append: { burst: 2, perSecond: 1, key: "connection" as const } };
  const clock = new FakeClock();
  const page = await joined({}, { clock, server: new FakeServer(clock, policies) });
  const room = page.client.room("general");
  room.send({ text: "", open: true });
  await clock.advance(50);
  const remaining = room.allowance.get().remaining;
  for (const [at, text] of ["a", "b", "c", "d"].entries()) void room.append(1, at, text);
  await clock.advance(500);
  expect(said(page, "append")).toHaveLength(2);
  expect(room.allowance.get().remaining).toBeGreaterThanOrEqual(remaining);
  room.typing();
  void room.delete(99).catch(() => undefined); // nothing else waits for them
  await clock.advance(50);
  expect(said(page, "delete")).toHaveLength(1);
  await clock.advance(2_000);
  expect(said(page, "append")).toHaveLength(4);
  expect(texts(page.client, "general")).toEqual(["abcd"]);
  const wrong = expect(room.append(1, 9, "x")).rejects.toMatchObject({ code: "bad_offset", at: 4 });
  await clock.advance(2_000);
  await wrong;
});
