import { expect, test, vi } from "vitest";
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

test("a gap is told and shown, and filled when it is asked for", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const told = vi.fn();
  client.on("gap", told);
  server.say("general", "one");
  let left = 3;
  server.leavesOut = () => left-- > 0;
  for (const text of ["two", "three"]) server.say("general", text);
  server.edit("general", 1, "one, edited");
  server.say("general", "five");
  await clock.advance(20);
  const room = client.room("general");
  expect(told).toHaveBeenCalledTimes(3);
  expect(told).toHaveBeenLastCalledWith({ room: "general", from: 4, to: 4 });
  expect(texts(client, "general")).toEqual(["one", "five"]);
  expect(room.timeline.get().gaps).toHaveLength(3);
  for (const gap of room.timeline.get().gaps) {
    await Promise.all([room.fillGap(gap), clock.advance(100)]);
  }
  expect(texts(client, "general")).toEqual(["one, edited", "two", "three", "five"]);
  expect(room.timeline.get().gaps).toEqual([]);
});

test("who asks twice for older messages gets them once", async () => {
  const page = openPage({ rooms: ["general"] });
  for (let number = 1; number <= 120; number++) page.server.say("general", `${number}`);
  await page.clock.advance(500);
  const room = page.client.room("general");
  const both = [room.loadOlder(), room.loadOlder()];
  expect(room.timeline.get().loadingOlder).toBe(true);
  await Promise.all([...both, page.clock.advance(100)]);
  expect(room.timeline.get().loadingOlder).toBe(false);
  expect(texts(page.client, "general")).toHaveLength(100);
  await Promise.all([room.loadOlder(), page.clock.advance(100)]);
  expect(texts(page.client, "general")).toHaveLength(120);
  await room.loadOlder();
  expect(asked(page, "history")).toHaveLength(3);
});

test("a timeline keeps the newest, and more once older ones were asked for", async () => {
  const page = await joined({ maxMessages: 60 });
  const { server, clock, client } = page;
  const room = client.room("general");
  for (let number = 1; number <= 90; number++) server.say("general", `${number}`);
  await clock.advance(20);
  expect(texts(client, "general")).toHaveLength(60);
  expect(room.timeline.get().hasOlder).toBe(true);
  await Promise.all([room.loadOlder(), clock.advance(100)]);
  expect(texts(client, "general")).toHaveLength(90);
  server.say("general", "91");
  await clock.advance(20);
  expect(texts(client, "general")).toHaveLength(90);
  room.trim(10);
  expect(texts(client, "general")).toHaveLength(10);
});

test("older messages that come when others have gone make no hole", async () => {
  const page = await joined({ maxMessages: 60 });
  const { server, clock, client } = page;
  const room = client.room("general");
  const isWhole = (): boolean => {
    const seqs = room.timeline.get().messages.map(({ seq }) => seq);
    return seqs.every((seq, at) => !at || seq === seqs[at - 1]! + 1);
  };
  for (let number = 1; number <= 150; number++) server.say("general", `${number}`);
  await clock.advance(20);
  let loaded = room.loadOlder();
  for (let number = 151; number <= 153; number++) server.say("general", `${number}`);
  await Promise.all([loaded, clock.advance(100)]);
  expect(texts(client, "general")).toHaveLength(113);
  expect(isWhole()).toBe(true);

  loaded = room.loadOlder();
  room.trim(10);
  await Promise.all([loaded, clock.advance(100)]);
  expect(isWhole()).toBe(true);

  loaded = room.loadOlder();
  room.leave();
  for (let number = 154; number <= 300; number++) server.say("general", `${number}`);
  room.join();
  await Promise.all([loaded, clock.advance(1_000)]);
  expect(status(page)).toBe("live");
  expect(isWhole()).toBe(true);
});

test("what was left out is not filled in where the timeline no longer reaches", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  const room = client.room("general");
  for (let number = 1; number <= 20; number++) {
    server.leavesOut = () => number < 4;
    server.say("general", `${number}`);
  }
  await clock.advance(20);
  const [gap] = room.timeline.get().gaps;
  const filled = room.fillGap(gap!);
  room.trim(5);
  await Promise.all([filled, clock.advance(100)]);
  expect(texts(client, "general")).toEqual(["16", "17", "18", "19", "20"]);
  expect(room.timeline.get()).toMatchObject({ gaps: [], hasOlder: true });
});
