import { expect, test, vi } from "vitest";
import { ADA, FakeServer, POLICIES } from "./fakes/fake_server.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { openPage, texts, type Page } from "./fakes/page.js";

async function joined(options = {}): Promise<Page> {
  const page = openPage({ rooms: ["general"], ...options });
  await page.clock.advance(500);
  expect(status(page)).toBe("live");
  return page;
}

function status(page: Page): string {
  return page.client.room("general").timeline.get().status;
}

function asked(page: Page, cmd: string): Record<string, unknown>[] {
  return page.server.commands.filter((command) => command.cmd === cmd);
}

test("a page first, then a join after its head: nothing is missed in between", async () => {
  const page = openPage({ rooms: ["general"], pace: "5/s" });
  page.server.say("general", "one");
  // A message comes while the page is on its way.
  page.server.refuse = ({ cmd }) => {
    if (cmd === "join") page.server.say("general", "two");
    return undefined;
  };
  await page.clock.advance(500);
  expect(asked(page, "history")).toMatchObject([{ limit: 50 }]);
  expect(asked(page, "join")).toMatchObject([{ after: 1, epoch: "e1", pace: "5/s" }]);
  expect(texts(page.client, "general")).toEqual(["one", "two"]);
});

test("messages that are new are told, each once, and pages are not", async () => {
  const page = openPage({ rooms: ["general"] });
  page.server.say("general", "old");
  const told: string[] = [];
  page.client.on("message", ({ text }) => told.push(text));
  await page.clock.advance(500);
  page.server.doubles = () => true;
  page.server.say("general", "live");
  await page.clock.advance(20);
  page.server.drop();
  page.server.say("general", "missed");
  await page.clock.advance(2_000);
  expect(told).toEqual(["live", "missed"]);
});

test("at a new connection it goes on after the last event that it applied", async () => {
  const page = await joined();
  page.server.say("general", "one");
  await page.clock.advance(20);
  page.server.drop();
  await page.clock.advance(0);
  expect(status(page)).toBe("stale");
  await page.clock.advance(2_000);
  expect(asked(page, "hello").at(-1)).toMatchObject({
    resume: { general: { seq: 1, epoch: "e1" } },
  });
  expect(asked(page, "history")).toHaveLength(1);
  expect(status(page)).toBe("live");
});

test("it is stale until what was missed is in", async () => {
  const page = await joined();
  page.server.drop();
  for (let number = 0; number < 5; number++) page.server.say("general", `${number}`);
  page.server.late = () => 3_000;
  await page.clock.advance(2_000);
  expect(page.client.state.get().status).toBe("online");
  expect(status(page)).toBe("stale");
  await page.clock.advance(3_000);
  expect(status(page)).toBe("live");
  expect(texts(page.client, "general")).toHaveLength(5);
});

test("a hole is waited for half a second, and then fetched", async () => {
  const page = await joined();
  const { server, clock } = page;
  server.late = () => 300;
  server.say("general", "one");
  server.late = () => 0;
  server.say("general", "two");
  await clock.advance(200);
  expect(texts(page.client, "general")).toEqual([]);
  await clock.advance(200);
  expect(texts(page.client, "general")).toEqual(["one", "two"]);
  expect(asked(page, "history")).toHaveLength(1);

  server.late = () => 60_000;
  server.say("general", "three");
  server.late = () => 0;
  server.say("general", "four");
  await clock.advance(490);
  expect(asked(page, "history")).toHaveLength(1);
  await clock.advance(100);
  expect(asked(page, "history").at(-1)).toMatchObject({ of: "events", after: 2, to: 3 });
  expect(texts(page.client, "general")).toEqual(["one", "two", "three", "four"]);
});

test("a long hole is fetched page by page, no faster than the limit for pages", async () => {
  const clock = new FakeClock();
  const history = { burst: 2, perSecond: 0.5, key: "user" as const };
  const server = new FakeServer(clock, { ...POLICIES, history });
  const page = openPage({ rooms: ["general"] }, { clock, server });
  await clock.advance(500);
  server.late = () => 600_000;
  for (let number = 0; number < 700; number++) server.say("general", `${number}`);
  server.late = () => 0;
  server.say("general", "the last");
  await clock.advance(60_000);
  expect(texts(page.client, "general")).toHaveLength(701);
  expect(asked(page, "history")).toHaveLength(5);
  expect(server.commands.length).toBeLessThan(10); // none was refused
});

test("events that are not ours to see are gone over", async () => {
  const page = await joined();
  const { server, clock } = page;
  const log = server.room("general");
  for (let number = 0; number < 3; number++)
    log.add({ push: "message", author: ADA, text: "hidden" });
  server.say("general", "seen");
  // The server shows no event before the fourth.
  const { now } = log;
  log.now = (event) => now.call(log, event);
  log.log.splice(0, 3);
  Object.defineProperty(log, "head", { get: () => 4 });
  await clock.advance(1_000);
  expect(texts(page.client, "general")).toEqual(["seen"]);
  expect(page.client.room("general").timeline.get().head).toBe(4);
});

test("a reset empties the room, is told, and loads it afresh while events go on", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const told = vi.fn();
  client.on("reset", told);
  for (let number = 0; number < 5; number++) server.say("general", `${number}`);
  await clock.advance(20);
  server.newEpoch("general", "e2");
  await clock.advance(2_000);
  expect(told).toHaveBeenCalledTimes(1);
  expect(client.room("general").timeline.get()).toMatchObject({ epoch: "e2", status: "live" });
  server.resumeLimit = 1;
  server.drop();
  for (let number = 5; number < 8; number++) server.say("general", `${number}`);
  await clock.advance(2_000);
  server.say("general", "8");
  await clock.advance(20);
  expect(told).toHaveBeenCalledTimes(2);
  expect(texts(client, "general")).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
});

test("a reset in the midst of a connection leaves the room live, though its head is lower", async () => {
  const page = await joined();
  const { server, clock } = page;
  for (let number = 0; number < 5; number++) server.say("general", `${number}`);
  await clock.advance(20);
  server.drop();
  await clock.advance(2_000);
  const general = server.room("general");
  general.log.splice(2);
  general.epoch = "e2";
  server.push({ push: "reset", room: "general", oldest: 1, head: 2, epoch: "e2" });
  await clock.advance(500);
  expect(status(page)).toBe("live");
  expect(texts(page.client, "general")).toEqual(["0", "1"]);
});

test("a hole that could not be fetched is asked for again", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const failed = vi.fn();
  client.on("error", failed);
  server.late = () => 900_000;
  server.say("general", "lost on the way");
  server.late = () => 0;
  server.refuse = ({ cmd }) => (cmd === "history" ? { code: "unavailable" } : undefined);
  server.say("general", "after it");
  await clock.advance(60_000);
  expect(failed).toHaveBeenCalled();
  server.refuse = () => undefined;
  await clock.advance(60_000);
  expect(texts(client, "general")).toEqual(["lost on the way", "after it"]);
});

test.each(["history", "join"])(
  "a server that is in trouble for long refuses no room: %s",
  async (trouble) => {
    const page = openPage({ rooms: ["general"] });
    page.server.refuse = ({ cmd }) => (cmd === trouble ? { code: "overloaded" } : undefined);
    await page.clock.advance(60_000);
    expect(status(page)).not.toBe("refused");
    expect(asked(page, trouble).length).toBeLessThan(30);
    page.server.refuse = () => undefined;
    await page.clock.advance(60_000);
    expect(status(page)).toBe("live");
  },
);

test("a connection that is lost while a room loads is no loss", async () => {
  const page = openPage({ rooms: ["general"] });
  page.server.say("general", "one");
  await page.clock.advance(45);
  page.server.drop();
  expect(status(page)).toBe("loading");
  await page.clock.advance(3_000);
  expect(status(page)).toBe("live");
  expect(texts(page.client, "general")).toEqual(["one"]);
});

test("a room that is refused says why, and is tried again at the next connection", async () => {
  const page = openPage({ rooms: ["general"] });
  page.server.room("general").refused = { code: "banned", text: "Out." };
  await page.clock.advance(500);
  expect(page.client.room("general").timeline.get()).toMatchObject({
    status: "refused",
    error: { code: "banned", message: "Out." },
  });
  expect(asked(page, "history")).toHaveLength(1);
  page.server.room("general").refused = null;
  page.server.drop();
  await page.clock.advance(2_000);
  expect(status(page)).toBe("live");
  expect(page.client.room("general").timeline.get().error).toBeUndefined();
});

test("a room that is refused for now is tried again when the server says", async () => {
  const page = await joined();
  page.server.room("general").refused = {
    code: "unavailable",
    text: "Later.",
    retry_after_ms: 8_000,
  };
  page.server.drop();
  await page.clock.advance(3_000);
  expect(status(page)).toBe("stale");
  page.server.room("general").refused = null;
  page.server.say("general", "meanwhile");
  await page.clock.advance(4_000);
  expect(texts(page.client, "general")).toEqual([]);
  await page.clock.advance(4_000);
  expect(status(page)).toBe("live");
  expect(texts(page.client, "general")).toEqual(["meanwhile"]);
});

test("a room that one is removed from is refused, and joined again when one may", async () => {
  const page = await joined();
  const told = vi.fn();
  page.client.on("rooms", told);
  page.server.push({ push: "rooms", left: ["general", "unknown"] });
  await page.clock.advance(20);
  expect(told).toHaveBeenCalledWith({ left: ["general", "unknown"] });
  expect(status(page)).toBe("refused");
  page.server.say("general", "meanwhile");
  page.server.push({ push: "rooms", joined: ["general"], unread: { general: 7 } });
  await page.clock.advance(500);
  expect(status(page)).toBe("live");
  expect(texts(page.client, "general")).toEqual(["meanwhile"]);
});

test("who waits for a page holds no more than a thousand pushes, and loses nothing", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  server.late = () => 900_000;
  server.say("general", "late");
  server.late = () => 0;
  server.refuse = ({ cmd }) =>
    cmd === "history" ? { code: "overloaded", retry_after_ms: 5_000 } : undefined;
  for (let number = 0; number < 1_001; number++) server.say("general", `${number}`);
  await clock.advance(1_000);
  server.refuse = () => undefined;
  await clock.advance(60_000);
  expect(client.room("general").timeline.get().head).toBe(1_002);
  server.say("general", "the end");
  await clock.advance(60_000);
  const { head, messages } = client.room("general").timeline.get();
  expect(head).toBe(1_003);
  const all = server.room("general").messages();
  expect(messages).toEqual(all.slice(-messages.length));
});

test("after leaving, nothing is kept and nothing is heard", async () => {
  const page = await joined();
  const room = page.client.room("general");
  page.server.say("general", "one");
  await page.clock.advance(20);
  expect(page.client.rooms.get()).toEqual(["general"]);
  room.leave();
  page.server.say("general", "two");
  await page.clock.advance(100);
  expect(room.timeline.get()).toMatchObject({ status: "idle", messages: [], head: 0 });
  expect(page.client.rooms.get()).toEqual([]);
  expect(asked(page, "leave")).toHaveLength(1);
  page.server.drop();
  await page.clock.advance(2_000);
  expect(asked(page, "hello").at(-1)).toMatchObject({ resume: {} });
  room.join();
  await page.clock.advance(100);
  expect(texts(page.client, "general")).toEqual(["one", "two"]);
});

test("an event that comes in one turn with the reply to the join is not missed", async () => {
  const page = openPage({ rooms: ["general"] });
  page.server.refuse = ({ cmd }) => {
    if (cmd === "join") page.server.say("general", "between");
    return undefined;
  };
  await page.clock.advance(25);
  const socket = page.server.sockets.last;
  const { onmessage } = socket;
  const frames: unknown[] = [];
  socket.onmessage = (event) => {
    frames.push(event);
    // Some sockets hand over all that has come, one after the other.
    const isJoin = (event.data as string).includes('"title"');
    if (!isJoin) for (const frame of frames.splice(0)) onmessage!(frame);
  };
  await page.clock.advance(500);
  expect(texts(page.client, "general")).toEqual(["between"]);
});

// --- messages that grow ---

test("a message grows, and at its end nobody has edited it", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const { seq } = server.begin("general");
  const { timeline } = client.room("general");
  for (const more of ["Hel", "lo ", "👋"]) {
    server.grow("general", seq, more);
    await clock.advance(20);
  }
  expect(timeline.get().messages).toMatchObject([{ text: "Hello 👋", open: true }]);
  server.finish("general", seq);
  await clock.advance(20);
  const [message] = timeline.get().messages;
  expect(message).toMatchObject({ seq, text: "Hello 👋" });
  expect([message!.open, message!.edited, message!.state]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("whoever joins or comes back while it grows has all so far", async () => {
  const page = openPage({ rooms: ["general"] });
  const { server, clock, client } = page;
  const { seq } = server.begin("general");
  server.grow("general", seq, "long ago");
  server.room("general").growing.get(seq)!.saved = "long";
  await clock.advance(500);
  expect(texts(client, "general")).toEqual(["long ago"]);
  server.drop();
  server.grow("general", seq, ", and since");
  await clock.advance(2_000);
  expect(texts(client, "general")).toEqual(["long ago, and since"]);
});

test("a part that comes before its message waits for it", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  let lateMs = 300;
  server.late = () => lateMs;
  const { seq } = server.begin("general");
  lateMs = 0;
  server.grow("general", seq, "a");
  server.grow("general", seq, "b");
  await clock.advance(100);
  expect(texts(client, "general")).toEqual([]);
  await clock.advance(400);
  expect(texts(client, "general")).toEqual(["ab"]);
  expect(asked(page, "history")).toHaveLength(1); // a part alone is no hole
});

test("a part that waits for a message is forgotten with the connection, and of many the newest stay", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const say = (seq: number, at: number): void =>
    server.push({ push: "partial", room: "general", seq, at, text: "x" });
  for (let at = 0; at < 1_500; at++) say(1, at);
  say(2, 0);
  await clock.advance(20);
  const one = server.begin("general");
  await clock.advance(20);
  // The first of them are gone: what follows has a hole before it.
  expect(texts(client, "general")).toEqual([""]);
  server.grow("general", one.seq, "y");
  await clock.advance(20);
  server.drop();
  await clock.advance(2_000);
  server.begin("general");
  await clock.advance(20);
  expect(texts(client, "general")).toEqual(["y", ""]);
});
