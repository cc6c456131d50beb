import { expect, test, vi } from "vitest";
import { ChatError } from "../src/errors.js";
import { createLimits } from "../src/limits.js";
import type { AnnouncedLimit } from "../src/types.js";
import { FakeClock, settle } from "./fakes/fake_clock.js";

const WELCOME: AnnouncedLimit[] = [
  { policy: "command", key: "connection", burst: 60, per_second: 2, remaining: 60 },
  { policy: "send", key: "user and room", burst: 10, per_second: 1 },
  { policy: "send.all", key: "user", burst: 20, per_second: 1, remaining: 20 },
  { policy: "typing", key: "user and room", burst: 1, per_second: 0.333333 },
  { policy: "history", key: "user", burst: 60, per_second: 1, remaining: 60 },
];

function setUp(waiting = () => 0) {
  const clock = new FakeClock();
  const changed = vi.fn();
  const limits = createLimits(clock, changed);
  const allowance = limits.allowance("general", waiting);
  const refused = (policy: string, ms: number, room = "general"): void =>
    limits.refused(new ChatError("rate_limited", "Too fast.", ms, policy), room);
  const left = (policy: string, room?: string): number | undefined =>
    limits.view.get().find((each) => each.policy === policy && each.room === room)?.remaining;
  return { clock, changed, limits, allowance, refused, left };
}

function answer(
  status: number,
  headers: Record<string, string>,
  path = "/api/v1/limits",
): Response {
  const made = new Response(null, { status, headers });
  Object.defineProperty(made, "url", { value: `http://chat.test${path}` });
  return made;
}

test("before anything is announced, three may go, and one in a second", () => {
  const { limits, allowance } = setUp();
  expect(allowance.get()).toEqual({
    ...{ remaining: 3, burst: 3, freeAt: null, secondsLeft: 0, policy: null, slowModeMs: 0 },
  });
  for (let number = 0; number < 3; number++) limits.gate("send", "general").take()(true);
  expect(limits.gate("send", "general").waitMs()).toBeCloseTo(1_000);
  expect(allowance.get()).toMatchObject({ remaining: 0, secondsLeft: 1, policy: "send" });
  expect(limits.view.get()).toMatchObject([{ policy: "send", room: "general", source: "default" }]);
});

test("a server that tells of no limits has none", () => {
  const { limits, allowance } = setUp();
  for (let number = 0; number < 3; number++) limits.gate("send", "general").take()(true);
  limits.announce([], true);
  expect(limits.gate("send", "general").waitMs()).toBe(0);
  expect(allowance.get()).toMatchObject({ freeAt: null, policy: null });
});

test("a message counts for its room, for all rooms, and as a command", () => {
  const { limits, left } = setUp();
  limits.announce(WELCOME, true);
  limits.gate("send", "general").take()(true);
  limits.gate("send", "help").take()(true);
  expect(left("send", "general")).toBe(9);
  expect(left("send", "help")).toBe(9);
  expect(left("send.all")).toBe(18);
  expect(left("command")).toBe(58);
  expect(left("history")).toBe(60);
});

test("an edit counts as a message, a page as a page, and all else as a command", () => {
  const { limits, left } = setUp();
  limits.announce(WELCOME, true);
  limits.slowMode("general", 30_000, false);
  limits.gate("edit", "general").take()(true);
  expect(left("send", "general")).toBe(9);
  expect(left("slow_mode", "general")).toBe(1);
  limits.gate("history", "general").take()(true);
  expect(left("history")).toBe(59);
  limits.gate("join", "general").take()(true);
  expect(left("command")).toBe(57);
});

test("the limit that holds longest says when the next may go", () => {
  const { limits, allowance, refused } = setUp();
  limits.announce(WELCOME, true);
  refused("send.all", 9_000);
  refused("send", 4_000);
  expect(allowance.get()).toMatchObject({ policy: "send.all", secondsLeft: 9, remaining: 0 });
  expect(limits.gate("send", "general").waitMs()).toBeCloseTo(9_000);
  expect(limits.gate("send", "help").waitMs()).toBeCloseTo(9_000);
  expect(limits.gate("join", "general").waitMs()).toBe(0);
});

test("what waits already is counted in", () => {
  let waiting = 0;
  const { limits, allowance } = setUp(() => waiting);
  limits.announce(WELCOME, true);
  waiting = 4;
  allowance.touch();
  expect(allowance.get()).toMatchObject({ remaining: 6, freeAt: null });
  waiting = 12;
  allowance.touch();
  expect(allowance.get()).toMatchObject({ remaining: 0, secondsLeft: 3, policy: "send" });
});

test("a countdown ticks once a second while somebody looks, and then no more", async () => {
  const { clock, limits, allowance, refused } = setUp();
  limits.announce(WELCOME, true);
  refused("send", 5_000);
  const seen: number[] = [];
  const end = allowance.subscribe(() => seen.push(allowance.get().secondsLeft));
  await clock.advance(5_000);
  expect(seen).toEqual([4, 3, 2, 1, 0]);
  expect(allowance.get()).toMatchObject({ freeAt: null, remaining: 1 });
  end();
  expect(clock.pending).toBe(0);
});

test("without anybody who looks no timer runs, and the countdown is right all the same", () => {
  const { clock, limits, allowance, refused } = setUp();
  limits.announce(WELCOME, true);
  refused("send", 5_000);
  expect(allowance.get().secondsLeft).toBe(5);
  clock.sleep(3_200);
  expect(allowance.get().secondsLeft).toBe(2);
  expect(clock.pending).toBe(0);
});

test("slow mode holds in its room, and not for those who are exempt", () => {
  const { limits, allowance } = setUp();
  limits.announce(WELCOME, true);
  limits.slowMode("general", 30_000, false);
  limits.gate("send", "general").take()(true);
  expect(allowance.get()).toMatchObject({
    slowModeMs: 30_000,
    secondsLeft: 30,
    policy: "slow_mode",
  });
  expect(limits.gate("send", "help").waitMs()).toBe(0);
  limits.slowMode("general", 30_000, true);
  expect(allowance.get()).toMatchObject({ slowModeMs: 0, freeAt: null });
  limits.slowMode("general", 0, false);
  expect(limits.view.get().some(({ policy }) => policy === "slow_mode")).toBe(false);
});

test("a welcome replaces what was guessed, with what is left in each room", () => {
  const { limits, allowance, refused, left } = setUp();
  limits.announce(WELCOME, true);
  refused("send", 60_000);
  const room = { ...WELCOME[1]!, room: "general", remaining: 4 };
  limits.announce([...WELCOME, room], true);
  expect(left("send", "general")).toBe(4);
  expect(allowance.get()).toMatchObject({ remaining: 4, burst: 10 });
  limits.announce(WELCOME, true);
  expect(allowance.get().remaining).toBe(10);
});

test("slow mode that was used before is announced as such", () => {
  const { limits, allowance } = setUp();
  const used = {
    ...{ policy: "slow_mode", key: "user and room", burst: 1, per_second: 0.033333 },
    ...{ remaining: 0, retry_after_ms: 12_000, room: "general" },
  };
  limits.announce([...WELCOME, used], true);
  limits.slowMode("general", 30_000, false);
  expect(allowance.get()).toMatchObject({ policy: "slow_mode", secondsLeft: 12 });
});

test("a refusal by a limit that nobody announced is kept, and holds nothing up", () => {
  const { limits, refused } = setUp();
  refused("project.quota", 7_000);
  expect(limits.view.get()).toMatchObject([
    { policy: "project.quota", remaining: 0, source: "refusal" },
  ]);
  expect(limits.gate("send", "general").waitMs()).toBe(0);
});

test("answers over HTTP teach the same limits", () => {
  const { limits, left, changed } = setUp();
  limits.announce(WELCOME, true);
  changed.mockClear();
  limits.taught(
    answer(
      201,
      {
        "RateLimit-Policy":
          '"command";q=120;w=60;headgate-burst=60, "send";q=1;w=1;headgate-burst=10',
        RateLimit: '"command";r=3;t=1, "send";r=7;t=1, "send.all";r=12;t=1',
      },
      "/api/v1/rooms/general/messages",
    ),
  );
  expect(left("send", "general")).toBe(7);
  expect(left("send.all")).toBe(12);
  expect(left("command"), "each connection has its own").toBe(60);
  expect(changed).toHaveBeenCalled();
});

test("where an answer says that nothing is left, its time is waited for", () => {
  const { limits } = setUp();
  limits.announce(WELCOME, true);
  const path = "/api/v1/rooms/general/messages";
  limits.taught(answer(429, { RateLimit: '"send";r=0;t=3', "Retry-After": "3" }, path));
  expect(limits.gate("send", "general").waitMs()).toBeCloseTo(3_000);
  expect(limits.gate("send", "help").waitMs()).toBe(0);
});

test("`Retry-After` without a policy holds all, on 429 and 503 only", () => {
  const { limits } = setUp();
  limits.announce(WELCOME, true);
  limits.taught(answer(301, { "Retry-After": "9" }));
  expect(limits.gate("join", "general").waitMs()).toBe(0);
  limits.taught(answer(503, { "Retry-After": "4" }));
  expect(limits.gate("join", "general").waitMs()).toBeCloseTo(4_000);
  expect(limits.gate("send", "help").waitMs()).toBeCloseTo(4_000);
});

test("nonsense is not taken", () => {
  const { limits } = setUp();
  limits.announce([{ policy: "send", key: "user and room", burst: 0, per_second: 0 }]);
  for (const field of ['"send"', '"send";r=x', "garbage", '"nobody";r=1']) {
    limits.taught(answer(200, { RateLimit: field, "Retry-After": "soon" }));
  }
  expect(limits.gate("send", "general").waitMs()).toBe(0);
});

test("whoever looks at the limits is told when there is another one left", async () => {
  const { clock, limits } = setUp();
  limits.announce(WELCOME, true);
  const seen: (number | undefined)[] = [];
  limits.gate("send", "general").take()(true);
  const end = limits.view.subscribe(() =>
    seen.push(limits.view.get().find(({ policy }) => policy === "send")?.remaining),
  );
  await settle();
  await clock.advance(1_500);
  expect(seen.at(-1)).toBe(10);
  end();
  expect(clock.pending).toBe(0);
});

test("a limit that takes months is watched without haste", async () => {
  const { clock, limits } = setUp();
  const limit = { policy: "send.all", key: "user", burst: 1, per_second: 1e-8, remaining: 0 };
  limits.announce([limit], true);
  let told = 0;
  limits.view.subscribe(() => told++);
  await clock.advance(1_000);
  expect(told).toBe(0);
});

test("the time between two signals is the announced one", () => {
  const { limits } = setUp();
  expect(limits.stepMs("typing")).toBeUndefined();
  limits.announce(WELCOME);
  expect(limits.stepMs("typing")).toBeCloseTo(3_000, 0);
});
