import fc from "fast-check";
import { expect, test } from "vitest";
import { Bucket } from "../src/bucket.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { FakeLimiter } from "./fakes/fake_limiter.js";

test("whoever keeps to it is never refused", () => {
  const rate = fc.record({
    burst: fc.integer({ min: 1, max: 20 }),
    perSecond: fc.double({ min: 0.01, max: 50, noNaN: true }),
  });
  const steps = fc.array(fc.record({ waitMs: fc.nat(5_000), onTheWayMs: fc.nat(400) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(rate, steps, ({ burst, perSecond }, all) => {
      const clock = new FakeClock();
      const server = new FakeLimiter(clock, { send: { burst, perSecond, key: "user" } });
      const bucket = new Bucket(clock, burst, perSecond);
      for (const { waitMs, onTheWayMs } of all) {
        clock.sleep(waitMs);
        clock.sleep(bucket.waitMs());
        expect(bucket.remaining()).toBeGreaterThan(0);
        expect(bucket.waitMs(), "not almost nothing").toBe(0);
        const counted = bucket.take();
        clock.sleep(onTheWayMs / 2);
        expect(server.charge([["send", "u"]]), "not refused").toBeNull();
        clock.sleep(onTheWayMs / 2);
        counted(true);
      }
    }),
  );
});

test("as many go at once as the burst allows, then one per step", () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, 3, 2);
  for (let number = 0; number < 3; number++) {
    expect(bucket.waitMs()).toBe(0);
    bucket.take()(true);
  }
  expect(bucket.remaining()).toBe(0);
  expect(bucket.waitMs()).toBeCloseTo(500);
  expect(bucket.waitMs(2)).toBeCloseTo(1_500);
  clock.sleep(500);
  expect(bucket.remaining()).toBe(1);
  expect(bucket.waitMs()).toBe(0);
});

test("the wait begins with the answer, and not when it was sent", () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, 1, 1 / 30);
  const counted = bucket.take();
  expect(bucket.waitMs()).toBeCloseTo(30_000);
  clock.sleep(4_000);
  expect(bucket.waitMs()).toBeCloseTo(30_000);
  counted(true);
  clock.sleep(10_000);
  expect(bucket.waitMs()).toBeCloseTo(20_000);
});

test("what was refused is counted nowhere", () => {
  const bucket = new Bucket(new FakeClock(), 2, 1);
  bucket.take()(false);
  expect(bucket.remaining()).toBe(2);
});

test("the server has the last word", () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, 10, 1);
  bucket.learn("refusal", 10, 1, 0, 2_500);
  expect(bucket.waitMs()).toBeCloseTo(2_500);
  bucket.learn("announced", 10, 1, 4);
  expect(bucket.remaining()).toBe(4);
  expect(bucket.source).toBe("announced");
});

test("a wait does not outgrow a rate that has become faster", () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, 1, 1 / 3_600);
  bucket.take()(true);
  bucket.learn("announced", 1, 1);
  expect(bucket.waitMs()).toBeCloseTo(1_000);
});

test("it says when what is left will be another", () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, 5, 1);
  expect(bucket.stepInMs()).toBe(Infinity);
  bucket.take()(true);
  bucket.take()(true);
  clock.sleep(300);
  expect(bucket.stepInMs()).toBeCloseTo(700);
});
