import { beforeEach, describe, expect, it } from "vitest";

import { BlockedPlace, code, GENERAL, HELP } from "./fakes/blocked_place.js";
import { settle } from "./fakes/fake_clock.js";
import { type FakeEvents, type FakeNetwork, json, problem } from "./fakes/fake_network.js";
import { DESCRIPTOR, FakePlace, WELCOME } from "./fakes/fake_place.js";

describe("the event stream", () => {
  let place: BlockedPlace;
  let network: FakeNetwork;
  let streams: FakeEvents[];

  beforeEach(() => {
    place = new BlockedPlace();
    ({ network, streams } = place);
  });

  it("is asked after two sockets that came to nothing, from where one is", async () => {
    await place.stream();
    expect(place.sockets.all).toHaveLength(2);
    expect(network.lines).toEqual(["GET /api/v1/stream?rooms=help%2Cgeneral"]);
    expect(network.last.url).toMatch(/^http:\/\/chat\.test\//);
    expect(Object.fromEntries(network.last.headers)).toEqual({
      authorization: "Bearer b",
      "headgate-guest": "g-token",
      "last-event-id": "aa-8",
    });
    expect(place.link.state.get()).toMatchObject({ status: "online", transport: "event-stream" });
    expect(place.owner.told).toEqual(["welcomed"]);
    expect(place.owner.welcomes[0]!.rooms).toEqual({ general: GENERAL, help: HELP });
  });

  it("is not asked while sockets open now and then, nor where the server says why not", async () => {
    place.isBlocked = false;
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(0);
    for (let i = 0; i < 6; i++) {
      const socket = place.sockets.last;
      socket.open();
      if (i % 2) socket.say(WELCOME);
      socket.drop(1006);
      await place.clock.advance(place.waitMs);
    }
    for (let i = 0; i < 6; i++) {
      place.sockets.last.open();
      place.sockets.last.drop(1013);
      await place.clock.advance(place.waitMs);
    }
    expect(place.sockets.all).toHaveLength(13);
    expect(network.requests).toEqual([]);
  });

  it("stays as it is whoever a descriptor is for: cookies say who one is there", async () => {
    await place.stream();
    const user = { id: "u:6", kind: "user", name: "Ben" } as const;
    place.link.attach({ ...DESCRIPTOR, user, rooms: ["tea"] });
    await place.clock.advance(1_000);
    expect([streams.length, place.sockets.all.length]).toEqual([1, 2]);
    expect(place.owner.descriptors.at(-1)!.rooms).toEqual(["tea"]);
  });

  it("is tried in turn with the socket while neither opens", async () => {
    network.answer = () => new Response("bad gateway", { status: 502 });
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(120_000);
    expect(place.link.state.get()).toMatchObject({ status: "waiting" });
    expect(Math.abs(place.sockets.all.length - network.requests.length)).toBeLessThanOrEqual(2);
    expect(network.requests.length).toBeGreaterThan(3);
  });

  it("passes on pushes in order, and none of rooms that were left", async () => {
    const stream = await place.stream();
    stream.write('event: message\r\ndata: {"push":"message","room":"gen');
    await settle();
    stream.write('eral","seq":11}\r\n\r\n: heartbeat\n\n');
    stream.push({ push: "typing", room: "help" });
    await settle();
    place.link.post({ cmd: "leave", room: "help" });
    stream.push({ push: "message", room: "help", seq: 4 });
    stream.push({ push: "rooms", joined: ["x"] });
    await settle();
    expect(place.owner.told).toEqual(["welcomed", "message", "typing", "rooms"]);
  });

  it("reads letters whose bytes came apart", async () => {
    const stream = await place.stream();
    const data = JSON.stringify({ push: "message", room: "help", text: "Zoë" });
    for (const byte of new TextEncoder().encode(`data: ${data}\n\n`)) {
      stream.write(Uint8Array.of(byte));
    }
    await settle();
    expect(place.owner.pushes).toMatchObject([{ text: "Zoë" }]);
  });

  it("says nothing more once a listener has closed it", async () => {
    const stream = await place.stream();
    place.owner.heard = (push) => {
      place.owner.told.push(push.push);
      place.link.close();
    };
    stream.write('data: {"push":"one"}\n\ndata: {"push":"two"}\n\n');
    await settle();
    expect(place.owner.told).toEqual(["welcomed", "one", "lost"]);
  });

  it("comes back after its end, when it says", async () => {
    const stream = await place.stream();
    stream.write("retry: 4000\n\n");
    stream.end();
    await settle();
    expect(place.owner.told).toEqual(["welcomed", "lost"]);
    expect(place.waitMs).toBeGreaterThanOrEqual(4_000);
    await place.clock.advance(8_000);
    expect(streams).toHaveLength(2);
  });

  it("says why it has ended, in the server's words", async () => {
    const stream = await place.stream();
    stream.push({ reply: null, error: { code: "forbidden", text: "You were removed." } });
    stream.end();
    await settle();
    expect(place.link.state.get()).toMatchObject({
      reason: { text: "You were removed.", by: "server" },
    });
  });

  it("ends at a network error, at what is no JSON, and at an answer that is none", async () => {
    for (const spoil of [
      (stream: FakeEvents) => stream.break(),
      (stream: FakeEvents) => stream.write("data: {\n\n"),
    ]) {
      const stream = await place.stream();
      spoil(stream);
      await settle();
      expect(place.status).toBe("waiting");
      expect(network.last.signal!.aborted).toBe(true);
    }
    network.answer = () => problem(503, "unavailable", { retry_after_ms: 9_000 });
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(2_000);
    expect(place.link.state.get()).toMatchObject({
      reason: { code: 503, text: "It is unavailable.", by: "http" },
    });
    expect(place.waitMs).toBeGreaterThan(5_000);
  });

  it("is given up where no welcome comes in 10 s, or nothing for 35 s", async () => {
    place.link.attach(DESCRIPTOR);
    await place.clock.advance(2_000);
    expect([place.status, streams.length]).toEqual(["connecting", 1]);
    await place.clock.advance(10_000);
    expect(streams.length + place.sockets.all.length).toBeGreaterThan(3);

    place.isBlocked = true;
    const stream = await place.stream();
    stream.write(": heartbeat\n\n");
    await place.clock.advance(34_999);
    expect(place.status).toBe("online");
    await place.clock.advance(1);
    expect(place.link.state.get()).toMatchObject({ reason: { by: "heartbeat" } });
  });

  it("stays open at a probe, which nothing would answer", async () => {
    await place.stream();
    place.lifecycle.emit("visible");
    await place.clock.advance(10_000);
    expect(place.status).toBe("online");
  });

  describe("joining", () => {
    it("is answered at once where the stream has the room and all that comes after", async () => {
      const stream = await place.stream();
      stream.push({ push: "message", room: "help", seq: 4 });
      await settle();
      expect(
        await place.link.call({ cmd: "join", room: "help", after: 4, epoch: "bb" }),
      ).toMatchObject({
        room: "help",
        head: 4,
        epoch: "bb",
      });
      expect(await place.link.call({ cmd: "join", room: "general" })).toMatchObject(GENERAL);
      expect(streams).toHaveLength(1);
    });

    it.each([
      ["a room that it does not have", "news", 0, "cc"],
      ["a place that it has passed", "help", 2, "bb"],
      ["a place in another life of the log", "help", 3, "b0"],
    ])("opens the stream anew for %s", async (_, room, after, epoch) => {
      await place.stream();
      const joined = place.link.call({ cmd: "join", room, after, epoch });
      await place.clock.advance(20);
      expect(streams).toHaveLength(2);
      expect(network.requests[0]!.signal!.aborted).toBe(true);
      expect(network.last.headers.get("last-event-id")!.split(".")).toContain(`${epoch}-${after}`);
      expect(network.last.headers.get("last-event-id")!.split(".")).toContain("aa-8");
      // Both come in one piece.
      const rooms = { general: GENERAL, [room]: { head: 9, epoch } };
      const event = { push: "message", room, seq: after + 1 };
      streams[1]!.write(
        [{ ...WELCOME, rooms }, event].map((push) => `data: ${JSON.stringify(push)}\n\n`).join(""),
      );
      const heard = joined.then(() => place.owner.told.at(-1));
      await place.clock.advance(0);
      expect(await joined).toMatchObject({ room, head: 9 });
      // The answer came first.
      expect(await heard).toBe("welcomed");
      expect(place.owner.told).toEqual(["welcomed", "message"]);
      expect(place.states.filter((status) => status === "online")).toHaveLength(1);
    });

    it("knows a room that is called like what every object has", async () => {
      await place.stream();
      void code(place.link.call({ cmd: "join", room: "constructor" }));
      await place.clock.advance(20);
      expect(streams).toHaveLength(2);
    });

    it("takes rooms that are joined together in one go, each with its own answer", async () => {
      await place.stream();
      const one = place.link.call({ cmd: "join", room: "news", after: 5, epoch: "cc" });
      const two = code(place.link.call({ cmd: "join", room: "cellar" }));
      await place.clock.advance(20);
      expect(streams).toHaveLength(2);
      const error = { code: "not_found", text: "There is no such room." };
      streams[1]!.push({
        ...WELCOME,
        rooms: { news: { head: 5, epoch: "cc" }, cellar: { error } },
      });
      await place.clock.advance(0);
      expect(await one).toMatchObject({ head: 5 });
      expect(await two).toBe("not_found");
      // From then on the owner knows the place.
      place.owner.resumes = { resume: { news: { seq: 8, epoch: "cc" } }, pending: {}, rooms: [] };
      void code(place.link.call({ cmd: "join", room: "third" }));
      await place.clock.advance(20);
      expect(network.last.headers.get("last-event-id")).toBe("cc-8");
    });

    it("is lost where the stream does not open again", async () => {
      await place.stream();
      const joined = code(place.link.call({ cmd: "join", room: "news" }));
      network.answer = () => problem(429, "rate_limited", { retry_after_ms: 5_000 });
      await place.clock.advance(20);
      expect(await joined).toBe("lost");
      expect(place.waitMs).toBeGreaterThanOrEqual(5_000);
    });
  });

  describe("the WebSocket", () => {
    it("is tried again after 60 s, then at doubled times up to 10 min", async () => {
      const stream = await place.stream();
      const began = place.clock.now();
      const tries: number[] = [];
      for (let known = 2; place.clock.now() < began + 3_000_000;) {
        await place.clock.advance(1_000);
        stream.write(": heartbeat\n\n");
        if (place.sockets.all.length === known) continue;
        known = place.sockets.all.length;
        tries.push(Math.round((place.clock.now() - began) / 10_000));
      }
      expect(tries).toEqual([6, 12, 24, 48, 96, 156, 216, 276]);
      expect([place.status, streams.length]).toEqual(["online", 1]);
    });

    it("takes over once it is welcome, and not before; the stream ends then", async () => {
      const stream = await place.stream();
      place.isBlocked = false;
      place.lifecycle.emit("online");
      await place.clock.advance(0);
      const socket = place.sockets.last;
      socket.open();
      expect(socket.sent[0]).toMatchObject({ cmd: "hello", guest: "g-token" });
      stream.push({ push: "message", room: "general", seq: 11 });
      await settle();
      expect(place.link.state.get()).toMatchObject({ transport: "event-stream" });
      const call = code(place.link.call({ cmd: "send", room: "general", text: "hi" }));
      socket.say(WELCOME);
      expect(place.link.state.get()).toMatchObject({ transport: "websocket" });
      expect(await call).toBe("lost");
      expect(place.owner.told).toEqual(["welcomed", "message", "lost", "welcomed"]);
      expect(network.requests[0]!.signal!.aborted).toBe(true);
      socket.say({ push: "message", room: "general", seq: 12 });
      expect(place.owner.told.at(-1)).toBe("message");
      await place.clock.advance(20_000);
      socket.drop();
      await place.clock.advance(500);
      expect([place.sockets.all.length, streams.length]).toEqual([4, 1]);
    });

    it("is let go when the stream is lost meanwhile: never two connections", async () => {
      const stream = await place.stream();
      place.isBlocked = false;
      place.lifecycle.emit("online");
      await place.clock.advance(0);
      const socket = place.sockets.last;
      stream.break();
      await settle();
      expect(socket.live).toBe(false);
      expect(place.status).toBe("waiting");
    });

    it("is not opened where the stream was lost while bootstrap was asked", async () => {
      const place = new FakePlace(
        { bootstrap: "http://chat.test/connect", fetch: network.fetch },
        (socket) => void Promise.resolve().then(() => socket.drop()),
      );
      place.link.open();
      await settle();
      network.last.answer(json(DESCRIPTOR));
      await place.clock.advance(2_000);
      streams[0]!.push({ ...WELCOME, ticket: undefined });
      for (let i = 0; i < 4; i++) {
        await place.clock.advance(15_000);
        streams[0]!.write(": heartbeat\n\n");
      }
      expect([network.last.method, place.status]).toEqual(["POST", "online"]);
      streams[0]!.break();
      await settle();
      expect(place.status).toBe("waiting");
      network.last.answer(json(DESCRIPTOR));
      await settle();
      expect(place.sockets.all).toHaveLength(2);
    });

    it("is not tried while the page is hidden", async () => {
      const stream = await place.stream();
      place.lifecycle.emit("hidden");
      for (let i = 0; i < 10; i++) {
        await place.clock.advance(20_000);
        stream.write(": heartbeat\n\n");
      }
      expect([place.status, place.sockets.all.length]).toEqual(["online", 2]);
    });
  });

  it("leaves nothing behind when it is closed", async () => {
    await place.stream();
    place.link.close();
    await settle();
    expect([place.clock.pending, network.last.signal!.aborted]).toEqual([0, true]);
    await place.clock.advance(600_000);
    expect([streams.length, place.sockets.all.length]).toEqual([1, 2]);
  });
});
