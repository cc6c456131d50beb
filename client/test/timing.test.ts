import fc from "fast-check";
import lodash from "lodash";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { debounce, throttle } from "../src/timing.js";
import type { Clock } from "../src/types.js";
import { FakeClock } from "./fakes/fake_clock.js";

/** The same time as lodash's. */
const wallClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => {
    clearTimeout(handle as number);
  },
};

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

type Act = { call: number } | { wait: number } | { back: number } | "cancel" | "flush";

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ call: fc.nat(99) }) },
  { weight: 5, arbitrary: fc.record({ wait: fc.oneof(fc.nat(40), fc.nat(250)) }) },
  fc.record({ back: fc.nat(500) }),
  fc.constant("cancel" as const),
  fc.constant("flush" as const),
);

interface Subject {
  (value: number): unknown;
  cancel(): void;
  flush(): unknown;
}

/** What was called when, and what each act returned. */
function play(acts: readonly Act[], make: (call: (value: number) => string) => Subject): unknown[] {
  vi.setSystemTime(1_000_000);
  vi.clearAllTimers();
  const seen: unknown[] = [];
  const subject = make((value) => {
    seen.push(["called", value, Date.now()]);
    return `result ${value}`;
  });
  for (const each of acts) {
    if (each === "cancel") subject.cancel();
    else if (each === "flush") {
      seen.push(["flushed", subject.flush()]);
      // lodash forgets its timer without stopping it: it may still ring into a new burst.
      vi.advanceTimersByTime(1_000);
    } else if ("call" in each) seen.push(["returned", subject(each.call)]);
    else if ("wait" in each) vi.advanceTimersByTime(each.wait);
    else vi.setSystemTime(Date.now() - each.back);
  }
  vi.advanceTimersByTime(10_000);
  return seen;
}

test("debounce does what lodash's does", () => {
  const options = fc.record(
    { leading: fc.boolean(), trailing: fc.boolean(), maxWait: fc.nat(300) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      fc.array(act, { maxLength: 30, size: "max" }),
      options,
      fc.nat(120),
      (acts, given, wait) => {
        const ours = play(acts, (call) => debounce(call, wait, { ...given, clock: wallClock }));
        expect(ours).toEqual(play(acts, (call) => lodash.debounce(call, wait, given)));
      },
    ),
    { numRuns: 500 },
  );
});

test("throttle does what lodash's does", () => {
  const options = fc.record(
    { leading: fc.boolean(), trailing: fc.boolean() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      fc.array(act, { maxLength: 30, size: "max" }),
      options,
      fc.nat(120),
      (acts, given, wait) => {
        const ours = play(acts, (call) => throttle(call, wait, { ...given, clock: wallClock }));
        expect(ours).toEqual(play(acts, (call) => lodash.throttle(call, wait, given)));
      },
    ),
    { numRuns: 500 },
  );
});

test("pending says whether something waits or would", async () => {
  const clock = new FakeClock();
  const calls: string[] = [];
  const later = debounce((text: string) => calls.push(text), 100, { clock });
  expect(later.pending()).toBe(false);
  later("one");
  expect(later.pending()).toBe(true);
  later.flush();
  expect(later.pending()).toBe(false);
  expect(calls).toEqual(["one"]);
  later("two");
  later.cancel();
  expect(later.pending()).toBe(false);
  expect(clock.pending).toBe(0);
});

test("without a clock, the page's own is used", () => {
  vi.useRealTimers();
  const later = debounce(() => "done", 5, { leading: true });
  expect(later()).toBe("done");
  later.cancel();
});
