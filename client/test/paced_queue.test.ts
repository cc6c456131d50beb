import fc from "fast-check";
import { expect, test } from "vitest";
import { ChatError } from "../src/errors.js";
import { PacedQueue, type PacedQueueOptions } from "../src/paced_queue.js";
import { FakeClock, settle } from "./fakes/fake_clock.js";
import { seeded } from "./fakes/page.js";

/** A queue whose tries the test answers. */
function setUp(options: Partial<PacedQueueOptions<string, string>> = {}) {
  const clock = new FakeClock();
  const tries: {
    item: string;
    at: number;
    done: (text: string) => void;
    fail: (e: unknown) => void;
  }[] = [];
  const queue = new PacedQueue<string, string>({
    start: (item) =>
      new Promise((done, fail) => {
        tries.push({ item, at: clock.now(), done, fail });
      }),
    ...{ clock, random: seeded() },
    ...options,
  });
  return { clock, tries, queue };
}

const limited = (ms: number): ChatError => new ChatError("rate_limited", "Too fast.", ms, "send");

test("things go in order, one at a time, as fast as the rate allows", async () => {
  const clock = new FakeClock();
  const started: [string, number][] = [];
  const queue = new PacedQueue<string, void>({
    start: async (item) => void started.push([item, clock.now()]),
    ...{ clock, burst: 2, perSecond: 1 },
  });
  for (const item of ["a", "b", "c", "d"]) queue.push(item);
  expect(started).toEqual([["a", 1_000]]);
  await clock.advance(10_000);
  expect(started.map(([item]) => item)).toEqual(["a", "b", "c", "d"]);
  expect(started[1]![1]).toBe(1_000);
  expect(started[2]![1]).toBeCloseTo(2_000, 0);
  expect(started[3]![1]).toBeCloseTo(3_000, 0);
  expect(queue.items).toEqual([]);
  expect(clock.pending).toBe(0);
});

test("it never has more than `inFlight` on their way", async () => {
  const { tries, queue } = setUp({ inFlight: 2, burst: 10 });
  for (const item of ["a", "b", "c"]) queue.push(item);
  expect(tries.map(({ item }) => item)).toEqual(["a", "b"]);
  tries[1]!.done("b!");
  await settle();
  expect(tries.map(({ item }) => item)).toEqual(["a", "b", "c"]);
});

test("what was refused with a time is tried again after it, and was no attempt", async () => {
  const { clock, tries, queue } = setUp();
  const entry = queue.push("a");
  for (let time = 0; time < 10; time++) {
    tries.at(-1)!.fail(limited(2_000));
    await settle();
    expect(entry).toMatchObject({ status: "waiting", attempts: 0 });
    const refusedAt = clock.now();
    await clock.advance(1_999);
    expect(tries).toHaveLength(time + 1);
    await clock.advance(252);
    expect(tries).toHaveLength(time + 2);
    expect(tries.at(-1)!.at - refusedAt).toBeGreaterThanOrEqual(2_000);
  }
  tries.at(-1)!.done("saved");
  await expect(entry.done).resolves.toBe("saved");
});

test("why something waits can be seen, and whoever may go again need not wait on", async () => {
  const { tries, queue } = setUp();
  const entry = queue.push("a");
  tries[0]!.fail(limited(600_000));
  await settle();
  expect(entry).toMatchObject({ status: "waiting", error: undefined });
  queue.release();
  const muted = new ChatError("muted", "You are muted in this room.", 600_000);
  tries[1]!.fail(muted);
  await settle();
  expect(entry).toMatchObject({ status: "waiting", error: muted });
  queue.release();
  expect(tries).toHaveLength(3);
  expect(entry).toMatchObject({ status: "sending", error: undefined });
  tries[2]!.done("saved");
  await expect(entry.done).resolves.toBe("saved");
});

test("nonsense for a time is waited out as a tenth of a second at least", async () => {
  for (const nonsense of [-5, 0, Number.NaN, 8]) {
    const { clock, tries, queue } = setUp();
    queue.push("a");
    tries[0]!.fail(limited(nonsense));
    await clock.advance(99);
    expect(tries).toHaveLength(1);
    await clock.advance(252);
    expect(tries).toHaveLength(2);
  }
});

test("a time that is null is none", async () => {
  const { clock, tries, queue } = setUp();
  const entry = queue.push("a");
  tries[0]!.fail(limited(null!));
  await expect(entry.done).rejects.toMatchObject({ code: "rate_limited" });
  await clock.advance(10_000);
  expect(tries).toHaveLength(1);
});

test("faults of the server are tried again four times in all, further and further apart", async () => {
  const { clock, tries, queue } = setUp({ stopAtFailure: true });
  const entry = queue.push("a");
  for (let time = 1; time <= 4; time++) {
    expect(tries).toHaveLength(time);
    tries.at(-1)!.fail(new ChatError("overloaded", "Busy."));
    await clock.advance(20_000);
    expect(entry.attempts).toBe(time);
  }
  expect(entry).toMatchObject({ status: "failed", error: { code: "overloaded" } });
  await expect(entry.done).rejects.toMatchObject({ code: "overloaded" });
});

test("what fails goes, and the next one comes", async () => {
  const { tries, queue } = setUp();
  const entry = queue.push("a");
  queue.push("b");
  tries[0]!.fail(new ChatError("forbidden", "No."));
  await expect(entry.done).rejects.toMatchObject({ code: "forbidden" });
  expect(tries.map(({ item }) => item)).toEqual(["a", "b"]);
  expect(queue.items).toHaveLength(1);
});

test("with `stopAtFailure`, what fails holds up the others until it is retried or removed", async () => {
  const { clock, tries, queue } = setUp({ stopAtFailure: true, burst: 10 });
  const first = queue.push("a");
  const second = queue.push("b");
  queue.push("c");
  tries[0]!.fail(new ChatError("forbidden", "No."));
  await clock.advance(60_000);
  expect(tries).toHaveLength(1);
  expect(queue.items.map(({ status }) => status)).toEqual(["failed", "queued", "queued"]);
  queue.retry(first);
  tries[1]!.done("a!");
  await settle();
  tries[2]!.fail(new ChatError("forbidden", "No."));
  await settle();
  expect(queue.remove(second, new ChatError("discarded", ""))).toBe(true);
  expect(tries.map(({ item }) => item)).toEqual(["a", "a", "b", "c"]);
});

test("what was lost is tried again once it is ready, and was no attempt", async () => {
  let isReady = true;
  const { clock, tries, queue } = setUp({ stopAtFailure: true, ready: () => isReady });
  const entry = queue.push("a");
  isReady = false;
  tries[0]!.fail(new ChatError("lost", "Gone."));
  await clock.advance(60_000);
  expect(entry).toMatchObject({ status: "queued", attempts: 0 });
  expect(tries).toHaveLength(1);
  isReady = true;
  queue.kick();
  expect(tries).toHaveLength(2);
});

test("what is lost at once, again and again, is not tried in a loop", async () => {
  const { clock, tries, queue } = setUp({ stopAtFailure: true });
  queue.push("a");
  for (let time = 0; time < 3; time++) {
    tries.at(-1)!.fail(new ChatError("lost", "Gone."));
    await clock.advance(499);
    expect(tries).toHaveLength(time + 1);
    await clock.advance(252);
  }
  expect(tries).toHaveLength(4);
});

test("what is settled from elsewhere is done, and a late answer changes nothing", async () => {
  const { tries, queue } = setUp({ burst: 10 });
  const entry = queue.push("a");
  queue.push("b");
  queue.settle(entry, "known");
  await expect(entry.done).resolves.toBe("known");
  expect(tries.map(({ item }) => item)).toEqual(["a", "b"]);
  tries[0]!.fail(new ChatError("forbidden", "No."));
  await settle();
  expect(queue.items.map(({ item, status }) => [item, status])).toEqual([["b", "sending"]]);
});

test("it is bounded", () => {
  const { queue } = setUp({ maxItems: 2 });
  queue.push("a");
  queue.push("b");
  expect(() => queue.push("c")).toThrow(expect.objectContaining({ code: "outbox_full" }));
});

test("what waits for too long fails, but waiting for a limit is not counted", async () => {
  let waitMs = 6 * 3_600_000;
  const gate = { waitMs: () => waitMs, take: () => () => undefined };
  const { clock, tries, queue } = setUp({ stopAtFailure: true, maxAgeMs: 600_000, gate });
  const [first, second] = [queue.push("a"), queue.push("b")];
  await clock.advance(3_600_000);
  expect(first).toMatchObject({ status: "waiting" });
  expect(second).toMatchObject({ status: "queued" });
  waitMs = 0;
  queue.kick();
  expect(tries).toHaveLength(1);

  const isReady = false;
  const other = setUp({ stopAtFailure: true, maxAgeMs: 600_000, ready: () => isReady });
  const entry = other.queue.push("a");
  await other.clock.advance(599_000);
  expect(entry.status).toBe("queued");
  await other.clock.advance(2_000);
  expect(entry).toMatchObject({ status: "failed", error: { code: "expired" } });
  await clock.advance(1);
});

test("after a leap of the clock it goes on where it should", async () => {
  const { clock, tries, queue } = setUp({ burst: 1, perSecond: 0.01 });
  queue.push("a");
  tries[0]!.done("a!");
  await settle();
  queue.push("b");
  clock.sleep(99_000);
  await clock.advance(0);
  expect(tries).toHaveLength(1);
  clock.sleep(1_000);
  queue.kick();
  expect(tries).toHaveLength(2);
});

test("it is never faster than its rate, whatever is answered", async () => {
  const answer = fc.constantFrom("done", "limited", "overloaded", "forbidden", "lost");
  await fc.assert(
    fc.asyncProperty(fc.array(answer, { minLength: 1, maxLength: 40 }), async (answers) => {
      const clock = new FakeClock();
      const starts: number[] = [];
      const queue = new PacedQueue<number, string>({
        ...{ clock, random: seeded(), burst: 3, perSecond: 2, stopAtFailure: true },
        start: async () => {
          const said = answers[starts.length % answers.length];
          // A refusal is counted nowhere, and so it is not here.
          if (said === "limited") {
            answers.splice(starts.length % answers.length, 1, "done");
            throw limited(300);
          }
          starts.push(clock.now());
          if (said !== "done") throw new ChatError(said as "lost", "");
          return "done";
        },
      });
      const entries = Array.from({ length: 15 }, (_, number) => queue.push(number));
      for (let round = 0; round < 40; round++) {
        await clock.advance(3_000);
        for (const entry of entries) queue.retry(entry);
      }
      starts.forEach((at, index) => {
        const before = starts[index - 3];
        if (before !== undefined) expect(at - before).toBeGreaterThan(499);
      });
    }),
    { numRuns: 50 },
  );
});

test("what was refused takes nothing from the rate", async () => {
  const { clock, tries, queue } = setUp({ burst: 1, perSecond: 0.1 });
  queue.push("a");
  tries[0]!.fail(limited(1_000));
  await clock.advance(1_251);
  expect(tries).toHaveLength(2);
});
