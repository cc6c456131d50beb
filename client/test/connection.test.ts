import { afterEach, describe, expect, it, vi } from "vitest";

import { ChatError } from "../src/errors.js";
import { settle } from "./fakes/fake_clock.js";
import { FakeLifecycle } from "./fakes/fake_lifecycle.js";
import { FakeNetwork, json } from "./fakes/fake_network.js";
import { DESCRIPTOR, FakePlace, WELCOME } from "./fakes/fake_place.js";

const BOOTSTRAP = "https://chat.test/api/v1/connect";

describe("calls", () => {
  it("are lost without a connection, and closed after the end", async () => {
    const place = new FakePlace();
    const code = (): Promise<string> =>
      place.link.call({ cmd: "ping" }).then(
        () => "answered",
        (error: unknown) => (error as ChatError).code,
      );
    place.link.attach(DESCRIPTOR);
    expect(await code()).toBe("lost");
    place.link.post({ cmd: "typing", room: "general" });
    await place.welcome();
    place.link.post({ cmd: "typing", room: "general" });
    expect(place.sockets.last.sent.map(({ cmd }) => cmd)).toEqual(["hello", "typing"]);
    place.link.close();
    expect(await code()).toBe("closed");
    place.link.post({ cmd: "typing", room: "general" });
  });

  it("are rejected before the owner hears that the connection is lost", async () => {
    const place = new FakePlace();
    const socket = await place.online();
    const call = place.link.call({ cmd: "ping" });
    const status = call.catch(() => place.status);
    socket.drop();
    expect(await status).toBe("waiting");
    expect(place.owner.told).toEqual(["welcomed", "lost"]);
  });
});

describe("the end", () => {
  it("by close() is for good, and leaves nothing behind", async () => {
    const place = new FakePlace();
    const socket = await place.online();
    place.link.close();
    place.link.close();
    expect(socket.live).toBe(false);
    expect(place.link.state.get()).toEqual({
      status: "closed",
      reason: { code: 1000, text: "", by: "client" },
    });
    expect(place.owner.told).toEqual(["welcomed", "lost"]);
    expect([place.clock.pending, place.lifecycle.watched]).toEqual([0, 0]);
    place.link.open();
    place.link.retryNow();
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(600_000);
    expect([place.status, place.sockets.all.length]).toEqual(["closed", 1]);
  });

  it("by close() while it connects opens nothing later", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    await settle();
    place.link.close();
    network.last.answer(json(DESCRIPTOR));
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length, place.clock.pending]).toEqual(["closed", 0, 0]);
  });

  it("by the server ends all tries but those that somebody asks for", async () => {
    const place = new FakePlace();
    (await place.online()).drop(4503, "Your access has ended.");
    expect(place.link.state.get()).toMatchObject({
      status: "closed",
      reason: { code: 4503, text: "Your access has ended.", by: "server" },
    });
    place.link.open();
    place.lifecycle.emit("online");
    place.lifecycle.emit("visible");
    place.lifecycle.emit("suspend");
    place.lifecycle.emit("resume");
    await place.clock.advance(600_000);
    expect([place.status, place.sockets.all.length]).toEqual(["closed", 1]);
    place.link.retryNow();
    await place.welcome();
    expect(place.status).toBe("online");
  });
});

describe("a ticket of the welcome", () => {
  it("is not presented again by who was sent away for good", async () => {
    const network = new FakeNetwork();
    network.answer = () => json({ ...DESCRIPTOR, ticket: `ticket-${network.requests.length}` });
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    const socket = await place.welcome();
    expect(socket.sent[0]).toMatchObject({ ticket: "ticket-1" });
    socket.drop(4503, "You have signed out.");
    place.link.retryNow();
    await place.clock.advance(1_000);
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-2" });
  });
});

describe("the page", () => {
  it("dials nothing without a network, and within a second of its return", async () => {
    const place = new FakePlace();
    const socket = await place.online();
    place.lifecycle.emit("offline");
    expect(place.status).toBe("online"); // it may be a lie: the socket is asked
    expect(socket.sent.at(-1)).toMatchObject({ cmd: "ping" });
    await place.clock.advance(2_000);
    expect(place.link.state.get()).toMatchObject({
      status: "offline",
      reason: { by: "heartbeat" },
    });
    expect(place.clock.pending).toBe(0);
    await place.clock.advance(600_000);
    expect(place.sockets.all).toHaveLength(1);
    place.lifecycle.emit("online");
    expect(place.waitMs).toBe(500);
    await place.clock.advance(500);
    expect(place.sockets.all).toHaveLength(2);
  });

  it("keeps a socket that answers although there is said to be no network", async () => {
    const place = new FakePlace({}, (socket) => {
      socket.received = ({ id }) => socket.say({ reply: id });
    });
    await place.online();
    place.lifecycle.emit("offline");
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length]).toEqual(["online", 1]);
  });

  it("gives up dialing when the network goes", async () => {
    const place = new FakePlace();
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    place.lifecycle.emit("offline");
    expect([place.status, place.sockets.live.length]).toEqual(["offline", 0]);
  });

  it("begins when it is seen", async () => {
    const place = new FakePlace({}, undefined, new FakeLifecycle(true, false));
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(600_000);
    expect([place.status, place.sockets.all.length]).toEqual(["paused", 0]);
    place.lifecycle.emit("visible");
    await place.clock.advance(0);
    expect(place.sockets.all).toHaveLength(1);
  });

  it("pauses after 5 minutes hidden, and not when it was seen in between", async () => {
    const place = new FakePlace({}, (socket) => {
      socket.received = ({ cmd, id }) => {
        if (cmd === "ping") socket.say({ reply: id });
      };
    });
    await place.online();
    place.lifecycle.emit("hidden");
    await place.clock.advance(299_999);
    place.lifecycle.emit("visible");
    await place.clock.advance(299_999);
    expect(place.status).toBe("online");
    place.lifecycle.emit("hidden");
    await place.clock.advance(299_999);
    expect(place.status).toBe("online");
    await place.clock.advance(1);
    expect([place.status, place.sockets.live.length]).toEqual(["paused", 0]);
    expect(place.owner.told).toEqual(["welcomed", "lost"]);
    place.lifecycle.emit("visible");
    await place.clock.advance(0);
    expect(place.sockets.live).toHaveLength(1);
  });

  it("closes when it is put aside, and comes back when it is", async () => {
    const place = new FakePlace();
    const socket = await place.online();
    place.lifecycle.emit("suspend");
    expect([place.status, socket.live, place.clock.pending]).toEqual(["paused", false, 0]);
    place.lifecycle.emit("online");
    await place.clock.advance(60_000);
    expect(place.sockets.all).toHaveLength(1);
    place.lifecycle.emit("resume");
    await place.clock.advance(0);
    expect(place.sockets.live).toHaveLength(1);
  });

  it("stays closed when it is back, where it was closed before", async () => {
    const place = new FakePlace();
    await place.online();
    place.link.close();
    place.lifecycle.emit("suspend");
    place.lifecycle.emit("resume");
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length]).toEqual(["closed", 1]);
  });

  it("finds a timer that sleep has passed over", async () => {
    const place = new FakePlace();
    place.chance = 1;
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    place.sockets.last.drop();
    place.clock.sleep(3_600_000);
    place.lifecycle.emit("visible");
    await place.clock.advance(0);
    expect(place.sockets.live).toHaveLength(1);
  });
});

describe("other people's faults", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("are reported, and end nothing", async () => {
    const reported: (() => void)[] = [];
    vi.stubGlobal("setTimeout", (callback: () => void) => reported.push(callback));
    const place = new FakePlace();
    const fault = (): never => {
      throw new Error("a fault of the page's");
    };
    Object.assign(place.owner, { welcomed: fault, heard: fault, lost: fault, described: fault });
    place.link.state.subscribe(fault);
    const socket = await place.online();
    socket.say({ push: "message", room: "general", seq: 1 });
    socket.drop();
    await place.clock.advance(500);
    await place.welcome();
    expect(place.status).toBe("online");
    // described, connecting, online, welcomed, heard, waiting, lost, connecting, online, welcomed
    expect(reported).toHaveLength(10);
    expect(reported[0]).toThrow("a fault of the page's");
  });

  it("a listener may close at any moment", async () => {
    for (const moment of ["connecting", "online", "waiting"]) {
      const place = new FakePlace();
      place.link.state.subscribe(() => {
        if (place.status === moment) place.link.close();
      });
      place.link.attach(DESCRIPTOR);
      await place.clock.advance(0);
      if (place.sockets.all.length) {
        place.sockets.last.open();
        place.sockets.last.say(WELCOME);
        place.sockets.last.drop();
      }
      await place.clock.advance(60_000);
      expect([moment, place.status, place.sockets.live.length, place.clock.pending]).toEqual([
        moment,
        "closed",
        0,
        0,
      ]);
      expect(place.owner.told.filter((each) => each === "lost").length).toBeLessThanOrEqual(
        place.owner.told.filter((each) => each === "welcomed").length + 1,
      );
    }
  });
});
