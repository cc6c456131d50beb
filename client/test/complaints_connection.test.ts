// What people complain of in other clients, each as a test of this one: reconnecting.

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Lifecycle } from "../src/types.js";
import { FakeNetwork, json, problem } from "./fakes/fake_network.js";
import { DESCRIPTOR, FakePlace, WELCOME } from "./fakes/fake_place.js";
import type { FakeSocket } from "./fakes/fake_socket.js";

type PageEvent = Parameters<Parameters<Lifecycle["subscribe"]>[0]>[0];

/** A server that welcomes and answers pings. */
function serve(socket: FakeSocket): void {
  socket.received = ({ cmd, id }) => {
    if (cmd === "hello") socket.say(WELCOME);
    else socket.say({ reply: id });
  };
  void Promise.resolve().then(() => socket.open());
}

/** A network on which no socket ever opens. */
function refuse(socket: FakeSocket): void {
  void Promise.resolve().then(() => socket.drop());
}

describe("1: retries in lockstep, and too hot", () => {
  it("clients that were cut off together come back apart, also at the cap", async () => {
    const waits: number[] = [];
    for (let client = 0; client < 20; client++) {
      const place = new FakePlace({}, refuse);
      place.link.attach(DESCRIPTOR);
      for (let failure = 0; failure < 10; failure++) {
        place.chance = client / 20;
        await place.clock.advance(failure ? 30_000 : 0);
      }
      place.chance = (client + 0.5) / 20;
      waits.push(place.waitMs);
    }
    expect(new Set(waits.map((wait) => Math.round(wait / 250))).size).toBeGreaterThanOrEqual(10);
  });

  it("clients that were all told the same time come back apart, and none too early", async () => {
    const waits: number[] = [];
    for (let client = 0; client < 20; client++) {
      const place = new FakePlace();
      place.chance = client / 20;
      const socket = await place.online();
      socket.say({ reply: null, error: { code: "rate_limited", text: "", retry_after_ms: 5_000 } });
      socket.drop(4013);
      waits.push(place.waitMs);
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(5_000);
    expect(new Set(waits).size).toBe(20);
  });

  it("a server that accepts and rejects at once is not stormed", async () => {
    const place = new FakePlace({}, (socket) => {
      socket.received = () => {
        socket.say(WELCOME);
        void Promise.resolve().then(() => socket.drop(1011));
      };
      void Promise.resolve().then(() => socket.open());
    });
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(600_000);
    // With half the cap each time: 8 tries in the first 32 s, then one in 15 s.
    expect(place.sockets.all.length).toBeLessThan(50);
    expect(place.link.state.get()).toMatchObject({ status: "waiting" });
  });

  it("ten good seconds make the next try quick again, less do not", async () => {
    const place = new FakePlace();
    place.chance = 1;
    const hold = async (ms: number): Promise<number> => {
      const socket = await place.welcome();
      await place.clock.advance(ms);
      socket.drop();
      const wait = place.waitMs;
      await place.clock.advance(wait);
      return wait;
    };
    place.link.attach(DESCRIPTOR);
    const waits = [
      await hold(0),
      await hold(9_999),
      await hold(0),
      await hold(10_000),
      await hold(0),
    ];
    expect(waits).toEqual([500, 1_000, 2_000, 500, 1_000]);
  });

  it("a network that flaps makes no storm: each return is spread over a second", async () => {
    const place = new FakePlace({}, refuse);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    for (let i = 0; i < 100; i++) {
      place.lifecycle.emit("offline");
      place.lifecycle.emit("online");
      await place.clock.advance(10);
    }
    expect(place.sockets.all.length).toBeLessThanOrEqual(5);
  });

  it("a page that flaps between tabs dials no more than four times in a second", async () => {
    const place = new FakePlace({}, refuse);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    for (let i = 0; i < 100; i++) {
      place.lifecycle.emit("hidden");
      place.lifecycle.emit("visible");
      await place.clock.advance(10);
    }
    expect(place.sockets.all.length).toBeLessThanOrEqual(5);
  });

  it("after a drain one comes back when told to, with the ticket of the farewell", async () => {
    const place = new FakePlace();
    place.chance = 0;
    const socket = await place.online();
    const call = place.link.call({ cmd: "send", room: "general", text: "hi" });
    socket.say({ push: "going_away", reconnect_in_ms: 7_000, ticket: "back" });
    // What was sent before is still answered.
    socket.say({ reply: socket.sent.at(-1)!.id, seq: 9 });
    expect(await call).toMatchObject({ seq: 9 });
    await place.clock.advance(1_000);
    socket.drop(1012);
    expect(place.waitMs).toBe(6_000);
    place.link.retryNow();
    place.lifecycle.emit("visible");
    place.lifecycle.emit("online");
    await place.clock.advance(5_999);
    expect(place.sockets.all).toHaveLength(1);
    await place.clock.advance(1);
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "back" });
  });
});

describe("2: half-open connections", () => {
  it("are found within 35 s of silence", async () => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    const [socket] = place.sockets.all;
    await place.clock.advance(60_000);
    expect(place.status).toBe("online");
    socket!.dead = true;
    await place.clock.advance(35_000);
    expect(place.states).toContain("waiting");
    await place.clock.advance(1_000);
    expect(place.sockets.live).not.toContain(socket);
    expect(place.status).toBe("online");
  });

  it("are found 2 s after the network has changed", async () => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(5_000);
    place.sockets.last.dead = true;
    place.lifecycle.emit("online");
    await place.clock.advance(1_999);
    expect(place.status).toBe("online");
    await place.clock.advance(1);
    expect(place.link.state.get()).toMatchObject({
      status: "waiting",
      reason: { by: "heartbeat" },
    });
  });
});

describe("3: background tabs and waking up", () => {
  it("a tab that is seen again finds out in 2 s whether it is still connected", async () => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(5_000);
    place.lifecycle.emit("hidden");
    place.sockets.last.dead = true;
    place.clock.sleep(3_600_000);
    place.lifecycle.emit("visible");
    await place.clock.advance(2_000);
    await place.clock.advance(500);
    expect([place.status, place.sockets.all.length]).toEqual(["online", 2]);
  });

  it("one that lives is kept", async () => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(5_000);
    place.lifecycle.emit("hidden");
    place.clock.sleep(120_000);
    place.lifecycle.emit("visible");
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length]).toEqual(["online", 1]);
  });

  it("a hidden tab does not dial, however long, and never gives up", async () => {
    const place = new FakePlace();
    (await place.online()).drop();
    place.lifecycle.emit("hidden");
    await place.clock.advance(24 * 3_600_000);
    expect([place.status, place.sockets.all.length]).toEqual(["paused", 1]);
    place.lifecycle.emit("visible");
    await place.clock.advance(0);
    expect(place.sockets.live).toHaveLength(1);
  });

  it("does not stop after any number of tries", async () => {
    const place = new FakePlace({}, refuse);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(24 * 3_600_000);
    const tries = place.sockets.all.length;
    await place.clock.advance(60_000);
    expect(place.sockets.all.length).toBeGreaterThan(tries);
  });
});

describe("4: coming back when told not to, and not coming back at 1000", () => {
  it.each([4500, 4501, 4503, 4999, 1002, 1003, 1007, 1008, 1009])("%i is the end", async (code) => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    place.sockets.last.drop(code, "no");
    for (const event of ["offline", "online", "hidden", "visible", "suspend", "resume"] as const) {
      place.lifecycle.emit(event);
    }
    await place.clock.advance(600_000);
    expect([place.status, place.sockets.all.length]).toEqual(["closed", 1]);
  });

  it.each([1000, 1001, 1006, 1011, 1012, 1013, 4000, 4499])("%i is not", async (code) => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    place.sockets.last.drop(code);
    await place.clock.advance(500);
    expect([place.status, place.sockets.all.length]).toEqual(["online", 2]);
  });

  it("close() holds through the back-forward cache", async () => {
    const place = new FakePlace({}, serve);
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    place.lifecycle.emit("suspend");
    place.link.close();
    place.lifecycle.emit("resume");
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length]).toEqual(["closed", 1]);
  });
});

describe("5: overlapping sockets", () => {
  const BEN = { id: "u:6", kind: "user", name: "Ben" } as const;
  const step = fc.oneof(
    fc.constantFrom<PageEvent>("online", "offline", "visible", "hidden", "suspend", "resume"),
    fc.constantFrom("open", "attach", "attach Ben", "retryNow", "rename"),
    fc.constantFrom("accepts", "welcomes", "breaks", "closes", "refuses", "dies", "silent"),
    fc.integer({ min: 0, max: 400_000 }),
  );

  it("there is never more than one, whatever happens, and none after close()", async () => {
    let sockets = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.boolean(),
        async (steps, chance, hasBootstrap) => {
          const network = new FakeNetwork();
          // Some answers come later than the page changes its mind; no stream ever opens.
          network.answer = ({ method }) =>
            method === "GET" ? new Response("", { status: 502 }) : undefined;
          const options = hasBootstrap ? { bootstrap: "http://chat.test/connect" } : {};
          const place = new FakePlace({ ...options, fetch: network.fetch });
          place.chance = chance;
          const check = (): void => expect(place.sockets.live.length).toBeLessThanOrEqual(1);
          for (const next of steps) {
            const socket = place.sockets.all.at(-1);
            if (typeof next === "number") await place.clock.advance(next);
            else if (next === "attach") place.link.attach(DESCRIPTOR);
            else if (next === "attach Ben") place.link.attach({ ...DESCRIPTOR, user: BEN });
            else if (next === "open" || next === "retryNow") place.link[next]();
            else if (next === "rename") place.link.rename("Ada");
            else if (next === "accepts") {
              socket?.open();
              if (network.requests.length) network.last.answer(json(DESCRIPTOR));
            } else if (next === "welcomes") {
              socket?.open();
              socket?.say(WELCOME);
            } else if (next === "breaks") socket?.drop();
            else if (next === "closes") socket?.drop(1012);
            else if (next === "refuses") socket?.drop(4503);
            else if (next === "dies") {
              if (socket) socket.dead = true;
            } else if (next !== "silent") place.lifecycle.emit(next);
            check();
            if (place.status === "online") expect(place.sockets.live).toHaveLength(1);
          }
          place.link.close();
          sockets += place.sockets.all.length;
          expect(place.sockets.live).toEqual([]);
          expect(place.owner.told.filter((each) => each === "lost")).toHaveLength(
            place.owner.told.filter((each) => each === "welcomed").length,
          );
          await place.clock.advance(600_000);
          expect([place.sockets.live.length, place.clock.pending, place.lifecycle.watched]).toEqual(
            [0, 0, 0],
          );
        },
      ),
      { numRuns: 300 },
    );
    // Else nothing was shown.
    expect(sockets).toBeGreaterThan(300);
  });

  it("a slow server is not given a second socket: the first is closed before the next", async () => {
    const place = new FakePlace();
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(600_000);
    expect(place.sockets.all.length).toBeGreaterThan(10);
    expect(place.sockets.live.length).toBeLessThanOrEqual(1);
  });

  it("what an old socket says late is heard by nobody", async () => {
    const place = new FakePlace();
    const old = await place.online();
    place.lifecycle.emit("suspend");
    place.lifecycle.emit("resume");
    await place.welcome();
    old.say({ push: "message", room: "general", seq: 1 });
    old.drop(4503);
    expect([place.status, place.owner.pushes.length]).toEqual(["online", 0]);
  });
});

describe("6: reconnecting trips the limit", () => {
  it("a refusal of connections is waited out, not retried into", async () => {
    const place = new FakePlace({}, (socket) => {
      socket.received = () => {
        const error = { code: "rate_limited", text: "Too many.", retry_after_ms: 20_000 };
        socket.say({ reply: null, error });
        void Promise.resolve().then(() => socket.drop(4013));
      };
      void Promise.resolve().then(() => socket.open());
    });
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    for (let i = 0; i < 19; i++) {
      place.link.retryNow();
      place.lifecycle.emit("online");
      place.lifecycle.emit("visible");
      await place.clock.advance(1_000);
    }
    expect(place.sockets.all).toHaveLength(1);
    expect(place.link.state.get()).toMatchObject({ reason: { code: 4013, text: "Too many." } });
    await place.clock.advance(15_000);
    expect(place.sockets.all).toHaveLength(2);
  });

  it("bootstrap is asked once for many wishes, and its refusal is waited out", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: "http://chat.test/connect", fetch: network.fetch });
    for (let i = 0; i < 20; i++) {
      place.link.open();
      place.link.retryNow();
      place.lifecycle.emit("visible");
    }
    await place.clock.advance(0);
    expect(network.requests).toHaveLength(1);
    network.last.answer(problem(429, "rate_limited", { retry_after_ms: 30_000 }));
    await place.clock.advance(0);
    for (let i = 0; i < 20; i++) place.link.retryNow();
    await place.clock.advance(29_000);
    expect(network.requests).toHaveLength(1);
  });

  it("a reconnection asks bootstrap for nothing while it has a ticket", async () => {
    const network = new FakeNetwork();
    network.answer = () => json(DESCRIPTOR);
    const place = new FakePlace(
      { bootstrap: "http://chat.test/connect", fetch: network.fetch },
      serve,
    );
    place.link.open();
    for (let i = 0; i < 10; i++) {
      await place.clock.advance(30_000);
      place.sockets.last.drop();
    }
    expect(place.sockets.all).toHaveLength(10);
    expect(network.requests).toHaveLength(1);
  });
});
