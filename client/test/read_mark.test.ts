import { expect, test } from "vitest";
import { ADA, ZOE } from "./fakes/fake_server.js";
import { openPage, type Page } from "./fakes/page.js";

async function joined(): Promise<Page> {
  const page = openPage({ rooms: ["general"] });
  await page.clock.advance(500);
  return page;
}

function reads({ server }: Page): unknown[] {
  return server.commands.filter(({ cmd }) => cmd === "read").map(({ seq }) => seq);
}

function say({ server }: Page, count: number): void {
  for (let number = 1; number <= count; number++) server.say("general", `${number}`);
}

test("what was missed is counted once, by the server or by the page", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  say(page, 2);
  await clock.advance(20);
  server.drop();
  say(page, 3);
  await clock.advance(3_000);
  expect(client.room("general").timeline.get()).toMatchObject({ status: "live", unread: 5 });
  say(page, 1);
  await clock.advance(20);
  expect(client.room("general").timeline.get().unread).toBe(6);
});

test("what came while the room was loaded is counted once", async () => {
  const page = openPage({ rooms: ["general"] });
  say(page, 1);
  page.server.refuse = ({ cmd }) => {
    if (cmd === "join") say(page, 1);
    return undefined;
  };
  await page.clock.advance(500);
  expect(page.client.room("general").timeline.get()).toMatchObject({ head: 2, unread: 2 });
});

test("a mark that was moved meanwhile leaves only what came after it", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  say(page, 2);
  await clock.advance(20);
  server.drop();
  client.room("general").markRead(2);
  say(page, 3);
  await clock.advance(3_000);
  expect(client.room("general").timeline.get()).toMatchObject({ read: 2, unread: 3 });
  expect(reads(page)).toEqual([2]);
});

test("a mark that is moved before what was missed is here leaves all of that", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  say(page, 2);
  await clock.advance(20);
  server.drop();
  say(page, 3);
  server.late = () => 3_000;
  await clock.advance(2_000);
  expect(client.room("general").timeline.get()).toMatchObject({ head: 2, unread: 5 });
  client.room("general").markRead(2);
  await clock.advance(5_000);
  expect(client.room("general").timeline.get()).toMatchObject({ head: 5, read: 2, unread: 3 });
});

test("a mark of another device may lie ahead of what is here", async () => {
  const page = await joined();
  page.server.late = () => 300;
  say(page, 2);
  page.server.late = () => 0;
  page.server.push({ push: "read", room: "general", author: ZOE, seq: 2 });
  await page.clock.advance(400);
  expect(page.client.room("general").timeline.get()).toMatchObject({ read: 2, unread: 0 });
  say(page, 1);
  await page.clock.advance(20);
  expect(page.client.room("general").timeline.get().unread).toBe(1);
});

test("in another life of the log the mark begins anew", async () => {
  const page = await joined();
  const { server, clock, client } = page;
  say(page, 5);
  await clock.advance(20);
  client.room("general").markRead(5);
  await clock.advance(1_000);
  server.room("general").log.splice(2);
  server.room("general").read.clear();
  server.newEpoch("general", "e2");
  await clock.advance(5_000);
  expect(client.room("general").timeline.get()).toMatchObject({ epoch: "e2", read: 0, unread: 2 });
  client.room("general").markRead(2);
  await clock.advance(1_000);
  expect(server.room("general").read.get(ZOE.id)).toBe(2);
});

test.each(["hidden", "suspend", "leave", "close"] as const)(
  "a mark that was just moved is sent at once by: %s",
  async (event) => {
    const page = await joined();
    say(page, 1);
    await page.clock.advance(20);
    const { sent } = page.server.sockets.last;
    const room = page.client.room("general");
    room.markRead(1);
    if (event === "leave") room.leave();
    else if (event === "close") page.client.close();
    else page.lifecycle.emit(event);
    expect(sent.filter(({ cmd }) => cmd === "read")).toMatchObject([{ seq: 1 }]);
  },
);

test("one's own messages are not unread, and a hundred is the most", async () => {
  const page = await joined();
  say(page, 120);
  page.server.say("general", "mine", ZOE);
  page.server.say("general", "hers", ADA);
  await page.clock.advance(20);
  expect(page.client.room("general").timeline.get().unread).toBe(100);
  page.client.room("general").markRead(120);
  expect(page.client.room("general").timeline.get().unread).toBe(1);
});
