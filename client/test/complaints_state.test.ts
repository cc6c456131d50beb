// What users of other clients complain of, each as a test of what happens here instead.

import { expect, test, vi } from "vitest";
import { debounce, throttle } from "../src/timing.js";
import type { Outgoing } from "../src/types.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { FakeLocks } from "./fakes/fake_locks.js";
import { ADA, FakeServer, POLICIES, ZOE } from "./fakes/fake_server.js";
import { openPage, texts, type Page } from "./fakes/page.js";

async function joined(options = {}, on: Partial<Page> = {}): Promise<Page> {
  const page = openPage({ rooms: ["general"], ...options }, on);
  await page.clock.advance(500);
  expect(page.client.state.get().status).toBe("online");
  return page;
}

function saved({ server }: Page, room = "general"): string[] {
  return server
    .room(room)
    .messages()
    .map(({ text }) => text);
}

function refusals(page: Page): string[] {
  const seen: string[] = [];
  const { onmessage } = page.server.sockets.last;
  page.server.sockets.last.onmessage = (event) => {
    const { error } = JSON.parse(event.data as string) as { error?: { code: string } };
    if (error) seen.push(error.code);
    onmessage!(event);
  };
  return seen;
}

// --- the queue ---

test("7: what waits can be seen, taken back and emptied, and nothing is sent of itself again", async () => {
  const page = await joined();
  page.server.down = true;
  page.server.drop();
  const room = page.client.room("general");
  const handles = ["a", "b", "c"].map((text) => room.send(text));
  expect(page.client.outbox.get().map(({ text }) => text)).toEqual(["a", "b", "c"]);
  expect(handles[1]!.cancel()).toBe(true);
  expect(room.discard(handles[2]!.client_id)?.text).toBe("c");
  page.server.down = false;
  await page.clock.advance(60_000);
  expect(saved(page)).toEqual(["a"]);
  for (let times = 0; times < 3; times++) {
    page.server.drop();
    await page.clock.advance(5_000);
  }
  expect(page.server.commands.filter(({ cmd }) => cmd === "send")).toHaveLength(1);
});

test("8: what was said first is sent first, never before the handshake, and nothing overtakes", async () => {
  const page = openPage();
  const room = page.client.room("general");
  room.send("A");
  let isRefused = true;
  page.server.refuse = ({ text }) =>
    text === "A" && isRefused ? { code: "overloaded", retry_after_ms: 3_000 } : undefined;
  await page.clock.advance(500);
  for (const text of ["B", "C"]) room.send(text);
  await page.clock.advance(1_000);
  page.server.drop();
  isRefused = false;
  await page.clock.advance(1_000);
  room.send("D");
  await page.clock.advance(20_000);
  expect(saved(page)).toEqual(["A", "B", "C", "D"]);
  for (const socket of page.server.sockets.all)
    expect(socket.sent[0]?.cmd ?? "hello").toBe("hello");
});

test("9: an acknowledgement that was lost makes no second message, and nothing is sent a week later", async () => {
  const page = await joined();
  const { sent } = page.client.room("general").send("once");
  await page.clock.advance(15);
  page.server.drop();
  await page.clock.advance(10_000);
  await expect(sent).resolves.toMatchObject({ seq: 1 });
  page.server.down = true;
  page.server.drop();
  const late = page.client.room("general").send("a week ago");
  page.clock.sleep(7 * 86_400_000);
  page.server.down = false;
  await page.clock.advance(120_000);
  await expect(late.sent).rejects.toMatchObject({ code: "expired" });
  expect(saved(page)).toEqual(["once"]);
});

test("10: nothing is lost in silence: each message is in the log, or is shown as failed", async () => {
  const page = await joined();
  const rooms = ["general", "help"];
  let turn = 0;
  page.server.refuse = ({ cmd }) =>
    cmd === "send" && ++turn % 5 === 0 ? { code: "forbidden" } : undefined;
  for (let number = 0; number < 40; number++) {
    page.client.room(rooms[number % 2]!).send(`${number}`);
    if (number % 7 === 0) page.server.drop();
    await page.clock.advance(300);
  }
  await page.clock.advance(900_000);
  const unsent = page.client.outbox.get();
  const all = [...rooms.flatMap((room) => saved(page, room)), ...unsent.map(({ text }) => text)];
  expect(all.sort()).toEqual(Array.from({ length: 40 }, (_, number) => `${number}`).sort());
  expect(unsent.every(({ status, error }) => status === "failed" && error)).toBe(true);
});

test("11: what is unsent is there after a reload, and the text of what failed can be had back", async () => {
  const locks = new FakeLocks();
  vi.stubGlobal("navigator", { locks });
  const options = { outbox: { persist: true } };
  const page = await joined(options);
  page.server.refuse = ({ cmd }) => (cmd === "send" ? { code: "forbidden" } : undefined);
  const { client_id } = page.client.room("general").send("refused");
  await page.clock.advance(100);
  page.lifecycle.emit("suspend");
  locks.held.clear();
  const after = await joined(options, {
    clock: page.clock,
    server: page.server,
    storage: page.storage,
  });
  await after.clock.advance(1_000);
  expect(after.client.outbox.get()).toMatchObject([
    { client_id, text: "refused", status: "failed" },
  ]);
  expect(after.client.room("general").discard(client_id)?.text).toBe("refused");
  expect(after.client.outbox.get()).toEqual([]);
  vi.unstubAllGlobals();
});

test("12: no echo is left over, whichever of reply, push and resume comes first or not at all", async () => {
  for (const dropAt of [5, 15, 19, 21, 25]) {
    for (const late of [0, 500]) {
      const page = await joined();
      page.server.late = () => late;
      page.client.room("general").send("hi");
      await page.clock.advance(dropAt);
      page.server.drop();
      await page.clock.advance(10_000);
      const { messages, unsent } = page.client.room("general").timeline.get();
      expect(unsent).toEqual([]);
      expect(messages).toEqual(page.server.room("general").messages());
      expect(messages).toHaveLength(1);
    }
  }
});

test("13: every room comes back whole, and not only the first thirty", async () => {
  const rooms = Array.from({ length: 60 }, (_, number) => `room-${number}`);
  const page = openPage({ rooms });
  await page.clock.advance(120_000);
  page.server.drop();
  for (const name of rooms) page.server.say(name, `in ${name}`);
  await page.clock.advance(5_000);
  for (const name of rooms) expect(texts(page.client, name)).toEqual([`in ${name}`]);
});

// --- throttling ---

test("14: what is too fast is waited for and sent, however often it is refused", async () => {
  const page = await joined();
  page.server.refuse = ({ cmd }) =>
    cmd === "send" && page.clock.now() < 60_000
      ? { code: "rate_limited", policy: "send", retry_after_ms: 2_000 }
      : undefined;
  const { sent } = page.client.room("general").send("patience");
  await page.clock.advance(30_000);
  const [outgoing] = page.client.outbox.get() as [Outgoing];
  expect(outgoing.attempts).toBe(0);
  expect(outgoing.error).toBeUndefined();
  await page.clock.advance(40_000);
  await expect(sent).resolves.toMatchObject({ seq: 1 });
});

test("15: a hint is never undercut, and nonsense in it starts no storm", async () => {
  const page = await joined();
  const tries: number[] = [];
  const hints = [8, -400, 0, 1_500, 700];
  page.server.refuse = ({ cmd }) => {
    if (cmd !== "send" || tries.length > hints.length) return undefined;
    tries.push(page.clock.now());
    const hint = hints[tries.length - 1];
    return hint === undefined
      ? undefined
      : { code: "rate_limited", policy: "send", retry_after_ms: hint };
  };
  page.client.room("general").send("hi");
  await page.clock.advance(60_000);
  expect(saved(page)).toEqual(["hi"]);
  tries.slice(1).forEach((at, index) => {
    expect(at - tries[index]!).toBeGreaterThanOrEqual(Math.max(100, hints[index]!));
  });
});

test("16: the countdown of slow mode is right: by the server's time, from its answer, whatever the clocks say", async () => {
  const wall = vi.spyOn(Date, "now").mockReturnValue(0);
  const clock = new FakeClock();
  const server = new FakeServer(clock);
  server.latencyMs = 1_500;
  server.room("general").slowModeMs = 30_000;
  const page = openPage({ rooms: ["general"] }, { clock, server });
  await clock.advance(20_000);
  const room = page.client.room("general");
  room.send("first");
  await clock.advance(2_000);
  wall.mockReturnValue(4e12);
  expect(room.allowance.get(), "on its way: nothing runs yet").toMatchObject({ secondsLeft: 30 });
  await clock.advance(1_000);
  expect(room.allowance.get()).toMatchObject({
    secondsLeft: 30,
    policy: "slow_mode",
    remaining: 0,
  });
  const seen: number[] = [];
  room.allowance.subscribe(() => seen.push(room.allowance.get().secondsLeft));
  await clock.advance(10_000);
  expect([...new Set([30, ...seen])]).toEqual([30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20]);
  room.send("second");
  await clock.advance(60_000);
  expect(saved(page)).toEqual(["first", "second"]);
  expect(
    server.commands.filter(({ cmd }) => cmd === "send"),
    "never too early",
  ).toHaveLength(2);
});

test("16: a setting that is changed while one waits counts at once, and who is exempt need not wait", async () => {
  const page = await joined();
  const room = page.client.room("general");
  page.server.slowMode("general", 3_600_000);
  await page.clock.advance(50);
  room.send("first");
  await page.clock.advance(50);
  room.send("second");
  expect(room.allowance.get().secondsLeft).toBeGreaterThan(3_600);
  page.server.slowMode("general", 5_000);
  await page.clock.advance(50);
  expect(room.allowance.get().secondsLeft).toBeLessThanOrEqual(10);
  page.server.room("general").moderates = true;
  page.server.slowMode("general", 5_000);
  await page.clock.advance(50);
  expect(saved(page)).toEqual(["first", "second"]);
  expect(room.allowance.get()).toMatchObject({ freeAt: null, slowModeMs: 0 });
});

test("17: throttle and debounce keep the time, use the last arguments, and end when they are told to", async () => {
  const clock = new FakeClock();
  const calls: [string, number][] = [];
  const note = (text: string): number => calls.push([text, clock.now() - 1_000]);
  const often = throttle(note, 100, { clock });
  for (const text of ["a", "b", "c"]) often(text);
  expect(calls).toEqual([["a", 0]]);
  await clock.advance(100);
  expect(calls.at(-1), "the last arguments, and not those of the first").toEqual(["c", 100]);
  await clock.advance(1_000);
  calls.length = 0;
  for (let ms = 0; ms < 1_000; ms += 30) {
    often(`${ms}`);
    await clock.advance(30);
  }
  const times = calls.map(([, at]) => at);
  expect(times.length).toBeGreaterThan(8);
  times.slice(1).forEach((at, index) => expect(at - times[index]!).toBeGreaterThanOrEqual(100));
  const quiet = debounce(note, 50, { clock, maxWait: 80 });
  await clock.advance(1_000);
  calls.length = 0;
  quiet("first");
  await clock.advance(40);
  quiet("last");
  await clock.advance(40);
  expect(calls.map(([text]) => text)).toEqual(["last"]);
  often("never");
  often("never");
  often.cancel();
  const count = calls.length;
  await clock.advance(1_000);
  expect(calls).toHaveLength(count);
});

// --- chats and their limits ---

test("limits 1: a text that meets a limit is never lost", async () => {
  const page = await joined();
  const room = page.client.room("general");
  const all = Array.from({ length: 40 }, (_, number) => `${number}`);
  for (const text of all) room.send(text);
  await page.clock.advance(60_000);
  expect(saved(page)).toEqual(all);
});

test("limits 4: the client never trips its own limits: not by sending, scrolling or filling", async () => {
  const clock = new FakeClock();
  const history = { burst: 3, perSecond: 1, key: "user" as const };
  const server = new FakeServer(clock, { ...POLICIES, history });
  for (let number = 0; number < 600; number++) server.say("general", `${number}`);
  const page = await joined({}, { clock, server });
  const seen = refusals(page);
  const room = page.client.room("general");
  for (let number = 0; number < 30; number++) room.send(`mine ${number}`);
  for (let page_ = 0; page_ < 12; page_++) {
    void room.loadOlder();
    await clock.advance(400);
  }
  await clock.advance(60_000);
  expect(seen).toEqual([]);
  expect(texts(page.client, "general").length).toBeGreaterThanOrEqual(330);
});

test("limits 5, 6: a refusal over any door is waited out, with its own time", async () => {
  const page = await joined();
  const older = page.client.room("general");
  for (let number = 0; number < 80; number++) page.server.say("general", `${number}`);
  page.client.room("general").leave();
  older.join();
  await page.clock.advance(100);
  let times = 3;
  page.server.refuse = ({ cmd }) =>
    cmd === "history" && times-- > 0
      ? { code: "rate_limited", policy: "history", retry_after_ms: 5_000 }
      : undefined;
  const loading = older.loadOlder();
  await page.clock.advance(20_000);
  await loading;
  expect(texts(page.client, "general")).toHaveLength(80);
});

test("limits 9: slow mode is counted as the server does, so it never disagrees", async () => {
  const page = await joined();
  page.server.slowMode("general", 10_000);
  await page.clock.advance(50);
  const seen = refusals(page);
  const room = page.client.room("general");
  for (const text of ["a", "b", "c"]) room.send({ text, reply_to: 1 });
  await page.clock.advance(40_000);
  expect(saved(page)).toEqual(["a", "b", "c"]);
  expect(seen).toEqual([]);
});

test("reconnect 1, 8: what was missed is there without a reload, once", async () => {
  const page = await joined();
  page.server.say("general", "before");
  await page.clock.advance(50);
  page.server.drop();
  for (let number = 0; number < 120; number++) page.server.say("general", `${number}`);
  page.server.doubles = () => true;
  await page.clock.advance(5_000);
  expect(page.client.room("general").timeline.get().messages).toEqual(
    page.server.room("general").messages(),
  );
});

test("reconnect 3: coming back with much to say and much to hear meets no limit", async () => {
  const page = await joined();
  page.server.down = true;
  page.server.drop();
  for (let number = 0; number < 90; number++) page.client.room("general").send(`${number}`);
  page.server.down = false;
  let seen: string[] = [];
  const end = page.client.state.subscribe(() => {
    if (page.client.state.get().status === "online") seen = refusals(page);
  });
  await page.clock.advance(200_000);
  end();
  expect(saved(page)).toHaveLength(90);
  expect(seen).toEqual([]);
});

test("reconnect 7: a message that fails is shown with both ways out, and holds up no other room", async () => {
  const page = await joined({ rooms: ["general", "help"] });
  page.server.refuse = ({ text }) =>
    text === "bad" ? { code: "muted", text: "Muted." } : undefined;
  const { client_id } = page.client.room("general").send("bad");
  page.client.room("help").send("good");
  await page.clock.advance(100);
  expect(page.client.room("general").timeline.get().unsent).toMatchObject([
    { client_id, status: "failed", error: { code: "muted" } },
  ]);
  expect(saved(page, "help")).toEqual(["good"]);
  expect(page.client.user.get()).toEqual(ZOE);
  expect(ADA.id).not.toBe(ZOE.id);
});
