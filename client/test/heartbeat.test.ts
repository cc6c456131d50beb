import { beforeEach, describe, expect, it } from "vitest";

import { createHeartbeat, type Heartbeat } from "../src/heartbeat.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { FakeLifecycle } from "./fakes/fake_lifecycle.js";

describe("heartbeat", () => {
  let clock: FakeClock;
  let lifecycle: FakeLifecycle;
  let heartbeat: Heartbeat;
  let asked: number[];
  let died: number | null;

  beforeEach(() => {
    clock = new FakeClock(0);
    lifecycle = new FakeLifecycle();
    asked = [];
    died = null;
    heartbeat = createHeartbeat(
      clock,
      lifecycle,
      () => asked.push(clock.now()),
      () => {
        died ??= clock.now();
        heartbeat.stop();
      },
    );
  });

  it("asks after a silence, and gives up 10 s later", async () => {
    heartbeat.start(25_000);
    await clock.advance(34_999);
    expect(asked).toEqual([25_000]);
    expect(died).toBeNull();
    await clock.advance(1);
    expect(died).toBe(35_000);
  });

  it("counts the silence from what came last", async () => {
    heartbeat.start(25_000);
    await clock.advance(20_000);
    heartbeat.heard();
    await clock.advance(24_999);
    expect(asked).toEqual([]);
    await clock.advance(1);
    expect(asked).toEqual([45_000]);
  });

  it("lives as long as it is answered", async () => {
    heartbeat.start(25_000);
    for (let i = 0; i < 20; i++) {
      await clock.advance(25_000);
      heartbeat.heard();
    }
    await clock.advance(9_000);
    expect(asked.length).toBeGreaterThan(10);
    expect(died).toBeNull();
  });

  it("probes with 2 s of patience", async () => {
    heartbeat.start(25_000);
    await clock.advance(1_000);
    heartbeat.probe();
    expect(asked).toEqual([1_000]);
    await clock.advance(1_999);
    expect(died).toBeNull();
    await clock.advance(1);
    expect(died).toBe(3_000);
  });

  it("goes on as before after a probe that was answered", async () => {
    heartbeat.start(25_000);
    await clock.advance(1_000);
    heartbeat.probe();
    await clock.advance(100);
    heartbeat.heard();
    await clock.advance(24_999);
    expect(asked).toEqual([1_000]);
    await clock.advance(1);
    expect(asked).toEqual([1_000, 26_100]);
  });

  it("does not probe again while a probe waits, but shortens a longer wait", async () => {
    heartbeat.start(25_000);
    await clock.advance(26_000);
    heartbeat.probe();
    heartbeat.probe();
    expect(asked).toEqual([25_000, 26_000]);
    await clock.advance(2_000);
    expect(died).toBe(28_000);
  });

  it("probes nothing before it has begun", async () => {
    heartbeat.probe();
    await clock.advance(60_000);
    expect(asked).toEqual([]);
    expect(died).toBeNull();
  });

  it("waits 70 s for an answer to a hidden page", async () => {
    lifecycle.emit("hidden");
    heartbeat.start(25_000);
    await clock.advance(94_999);
    expect(died).toBeNull();
    await clock.advance(1);
    expect(died).toBe(95_000);
  });

  it("asks once more after sleep, since the answer may be unread", async () => {
    heartbeat.start(25_000);
    await clock.advance(25_000);
    clock.sleep(3_600_000);
    await clock.advance(0);
    expect(died).toBeNull();
    expect(asked).toEqual([25_000, 3_625_000]);
    await clock.advance(2_000);
    expect(died).toBe(3_627_000);
  });

  it("asks only once more where timers are always late", async () => {
    heartbeat.start(25_000);
    await clock.advance(25_000);
    clock.sleep(60_000);
    await clock.advance(0);
    clock.sleep(60_000);
    await clock.advance(0);
    expect(died).not.toBeNull();
  });
});
