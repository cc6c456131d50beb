import { expect, test, vi } from "vitest";
import { ZOE } from "./fakes/fake_server.js";
import { openPage, texts, type Page } from "./fakes/page.js";

test("a room is loaded, then live", async () => {
  const { clock, server, client } = openPage({ rooms: ["general"] });
  for (let number = 1; number <= 60; number++) server.say("general", `old ${number}`);
  const room = client.room("general");
  expect(room.timeline.get().status).toBe("loading");
  await clock.advance(200);
  expect(room.timeline.get()).toMatchObject({ status: "live", head: 60, hasOlder: true });
  expect(texts(client, "general")).toHaveLength(50);
  server.say("general", "new");
  await clock.advance(20);
  expect(texts(client, "general").at(-1)).toBe("new");
  await Promise.all([room.loadOlder(), clock.advance(200)]);
  expect(texts(client, "general")).toHaveLength(61);
  expect(room.timeline.get().hasOlder).toBe(false);
});

test("a message is saved once, and shown once", async () => {
  const { clock, server, client } = openPage({ rooms: ["general"] });
  await clock.advance(200);
  const { sent, client_id } = client.room("general").send("hi");
  await clock.advance(100);
  await expect(sent).resolves.toEqual({ seq: 1, client_id });
  expect(server.room("general").log).toHaveLength(1);
  expect(client.outbox.get()).toEqual([]);
  expect(client.room("general").timeline.get().messages).toEqual(server.room("general").messages());
});

test("it connects at the first join, send, attach or connect, and not before", async () => {
  for (const begin of [
    ({ client }: Page) => client.room("general").join(),
    ({ client }: Page) => client.room("general").send("hi"),
    ({ client, server }: Page) => void server.bootstrap().then((found) => client.attach(found)),
    ({ client }: Page) => client.connect(),
  ]) {
    const page = openPage();
    page.client.room("general");
    await page.clock.advance(1_000);
    expect(page.client.state.get().status).toBe("idle");
    begin(page);
    await page.clock.advance(1_000);
    expect(page.client.state.get().status).toBe("online");
    page.client.close();
  }
});

test("a descriptor brings its rooms and its limits", async () => {
  const page = openPage({ bootstrap: undefined! });
  const limit = { policy: "send", key: "user and room", burst: 5, per_second: 1 };
  page.client.attach({ ...(await page.server.bootstrap()), rooms: ["help"], limits: [limit] });
  expect(page.client.rooms.get()).toEqual(["help"]);
  expect(page.client.room("help").allowance.get().burst).toBe(5);
  await page.clock.advance(500);
  expect(page.client.room("help").timeline.get().status).toBe("live");
});

test("the room of a name is the same object", () => {
  const { client } = openPage();
  expect(client.room("general")).toBe(client.room("general"));
  expect(client.room("general")).not.toBe(client.room("help"));
});

test("ready resolves once online, and rejects where there will be no connection", async () => {
  const page = openPage();
  const ready = vi.fn();
  void page.client.ready().then(ready);
  page.client.connect();
  await page.clock.advance(500);
  expect(ready).toHaveBeenCalled();
  await expect(page.client.ready()).resolves.toBeUndefined();
  page.client.close();
  await expect(page.client.ready()).rejects.toMatchObject({ code: "closed" });
});

test("who one is, is known from the welcome on", async () => {
  const page = openPage();
  expect(page.client.user.get()).toBeNull();
  page.client.connect();
  await page.clock.advance(500);
  expect(page.client.user.get()).toEqual(ZOE);
});

test("every push is told before it is applied", async () => {
  const page = openPage({ rooms: ["general"] });
  await page.clock.advance(500);
  const seen: unknown[] = [];
  page.client.on("push", ({ push, seq }) =>
    seen.push([push, seq, texts(page.client, "general").length]),
  );
  page.server.say("general", "hi");
  page.server.push({ push: "weather", room: "general", rain: true });
  page.server.push({ push: "weather", rain: false });
  await page.clock.advance(20);
  expect(seen).toEqual([
    ["message", 1, 0],
    ["weather", undefined, 1],
    ["weather", undefined, 1],
  ]);
});

test("another name makes another hello", async () => {
  const page = openPage({ rooms: ["general"], name: "Zoë" });
  await page.clock.advance(500);
  page.client.rename("Zoe");
  await page.clock.advance(5_000);
  const hellos = page.server.commands.filter(({ cmd }) => cmd === "hello");
  expect(hellos.map((hello) => hello["name"])).toEqual(["Zoë", "Zoe"]);
  expect(page.client.room("general").timeline.get().status).toBe("live");
});

test("a hundred rooms come back without meeting a limit", async () => {
  const rooms = Array.from({ length: 100 }, (_, number) => `room-${number}`);
  const page = openPage({ rooms });
  let refused = 0;
  page.client.on("push", () => undefined);
  await page.clock.advance(1_000);
  const socket = page.server.sockets.last;
  const { onmessage } = socket;
  socket.onmessage = (event) => {
    if ((event.data as string).includes("rate_limited")) refused++;
    onmessage!(event);
  };
  await page.clock.advance(200_000);
  expect(refused).toBe(0);
  expect(rooms.every((name) => page.client.room(name).timeline.get().status === "live")).toBe(true);
  page.server.drop();
  await page.clock.advance(2_000);
  expect(rooms.every((name) => page.client.room(name).timeline.get().status === "live")).toBe(true);
});

test("after the end no timer, no listener and no connection is left", async () => {
  const page = openPage({ rooms: ["general"] });
  await page.clock.advance(500);
  const room = page.client.room("general");
  room.allowance.subscribe(() => undefined);
  page.server.say("general", "hi");
  await page.clock.advance(20);
  room.markRead(1);
  room.setDraft("unfinished");
  room.typing();
  page.client.close();
  expect(page.storage.getItem("headgate.draft.g:1.general")).toBe("unfinished");
  await page.clock.advance(60_000);
  expect(page.clock.pending).toBe(0);
  expect(page.lifecycle.watched).toBe(0);
  expect(page.server.sockets.live).toEqual([]);
});
