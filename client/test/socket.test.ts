import { beforeEach, describe, expect, it } from "vitest";

import type { ChatError } from "../src/errors.js";
import type { Welcome } from "../src/link.js";
import { platformOf } from "../src/platform.js";
import { openSocket } from "../src/socket.js";
import type { End, Transport } from "../src/transport.js";
import type { Push } from "../src/types.js";
import { FakeClock, settle } from "./fakes/fake_clock.js";
import { WELCOME } from "./fakes/fake_place.js";
import { type FakeSocket, FakeSockets } from "./fakes/fake_socket.js";

describe("socket", () => {
  let clock: FakeClock;
  let sockets: FakeSockets;
  let transport: Transport;
  let socket: FakeSocket;
  let welcomes: Welcome[];
  let pushes: Push[];
  let ends: End[];

  function open(WebSocket = sockets.WebSocket): void {
    transport = openSocket(
      platformOf({ clock, WebSocket, lifecycle: null, storage: null }),
      "ws://chat.test/ws/chat/",
      10_000,
      () => ({ cmd: "hello", ticket: "t", name: undefined }),
      {
        welcomed: (welcome) => welcomes.push(welcome),
        heard: (push) => pushes.push(push),
        gone: (end) => ends.push(end),
      },
    );
  }

  beforeEach(() => {
    clock = new FakeClock(0);
    sockets = new FakeSockets();
    welcomes = [];
    pushes = [];
    ends = [];
    open();
    socket = sockets.last;
  });

  function welcome(): void {
    socket.open();
    socket.say(WELCOME);
  }

  it("takes for the reason of a close only what was said right before it", () => {
    welcome();
    socket.say({
      reply: null,
      error: { code: "too_large", text: "Too large.", retry_after_ms: 9 },
    });
    socket.say({ push: "typing", room: "general" });
    socket.drop();
    expect(ends).toMatchObject([{ reason: { code: 1006, text: "" }, waitMs: undefined }]);
  });

  it("says hello first, in the protocol's mode, with no secret in the URL", () => {
    expect([socket.url, socket.protocols]).toEqual(["ws://chat.test/ws/chat/", ["headgate.v1"]]);
    expect(socket.sent).toEqual([]);
    socket.open();
    expect(socket.sent).toEqual([{ cmd: "hello", ticket: "t", id: 1 }]);
  });

  it("tells the welcome once, and no push before it", () => {
    socket.open();
    socket.say({ push: "typing", room: "general" });
    socket.say(WELCOME);
    socket.say(WELCOME);
    socket.say({ push: "message", room: "general", seq: 1 });
    expect(welcomes).toEqual([WELCOME]);
    expect(pushes.map((push) => push.push)).toEqual(["welcome", "message"]);
  });

  it("gives replies to the calls that they answer, in any order", async () => {
    welcome();
    const first = transport.call({ cmd: "history", room: "general" });
    const second = transport.call({ cmd: "send", room: "general", text: "hi" });
    const [, one, two] = socket.sent;
    socket.say({ reply: two!.id, seq: 7 });
    socket.say({ reply: one!.id, messages: [] });
    socket.say({ reply: 99 });
    expect(await second).toMatchObject({ seq: 7 });
    expect(await first).toMatchObject({ messages: [] });
  });

  it("rejects a refused call with all that the server said", async () => {
    welcome();
    const call = transport.call({ cmd: "send", room: "general", text: "hi" });
    const error = { code: "rate_limited", text: "Too fast.", policy: "send", retry_after_ms: 730 };
    socket.say({ reply: socket.sent.at(-1)!.id, error });
    await expect(call).rejects.toMatchObject({
      code: "rate_limited",
      message: "Too fast.",
      policy: "send",
      retryAfterMs: 730,
    });
  });

  it("rejects what waits as lost, before it says that it is gone", async () => {
    welcome();
    const call = transport.call({ cmd: "ping" });
    const order: string[] = [];
    call.catch((error: unknown) => order.push((error as ChatError).code));
    socket.drop();
    await settle();
    expect(order).toEqual(["lost"]);
    expect(ends).toMatchObject([{ reason: { code: 1006, by: "network" }, final: false }]);
  });

  it("gives up 10 s after opening without a welcome, however far it came", async () => {
    await clock.advance(5_000);
    socket.open();
    await clock.advance(4_999);
    expect(ends).toEqual([]);
    await clock.advance(1);
    expect(ends).toMatchObject([{ reason: { code: 0, by: "network" } }]);
    expect(socket.live).toBe(false);
  });

  it("does not give up later once it was welcome", async () => {
    welcome();
    await clock.advance(20_000);
    expect(ends).toEqual([]);
  });

  it("says why the server closed, in its words, and whether to come back", () => {
    welcome();
    socket.say({ reply: null, error: { code: "forbidden", text: "You were removed." } });
    socket.drop(4503, "");
    expect(ends).toMatchObject([
      { reason: { code: 4503, text: "You were removed.", by: "server" }, final: true },
    ]);
  });

  it.each([1002, 1003, 1007, 1008, 1009, 4500, 4501, 4999])("takes %i for final", (code) => {
    welcome();
    socket.drop(code);
    expect(ends[0]!.final).toBe(true);
  });

  it.each([1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4004, 4013, 4499, 5000])(
    "comes back after %i",
    (code) => {
      welcome();
      socket.drop(code);
      expect(ends[0]!.final).toBe(false);
    },
  );

  it("passes on how long to stay away", () => {
    welcome();
    socket.say({
      reply: null,
      error: { code: "rate_limited", text: "Too many.", retry_after_ms: 9_000 },
    });
    socket.drop(4013);
    expect(ends[0]!.waitMs).toBe(9_000);
  });

  it("counts the time to stay away from the farewell, and keeps its ticket", async () => {
    welcome();
    socket.say({ push: "going_away", reconnect_in_ms: 5_000, ticket: "back" });
    await clock.advance(2_000);
    socket.drop(1012);
    expect(ends[0]).toMatchObject({ waitMs: 3_000, ticket: "back", final: false });
    expect(pushes.map((push) => push.push)).toEqual(["going_away"]);
  });

  it("takes no for an answer to a hello that is not well formed", () => {
    socket.open();
    socket.say({ reply: 1, error: { code: "bad_command", text: "`name` is too long." } });
    expect(ends).toMatchObject([
      { reason: { text: "`name` is too long.", by: "server" }, final: true },
    ]);
  });

  it("waits for the close that says what a refused hello means", () => {
    socket.open();
    socket.say({ reply: 1, error: { code: "ticket_refused", text: "The ticket is no good." } });
    expect(ends).toEqual([]);
    socket.drop(4004);
    expect(ends).toMatchObject([
      { reason: { code: 4004, text: "The ticket is no good." }, final: false },
    ]);
  });

  it("goes on after frames that are of no use", () => {
    welcome();
    for (const frame of ["null", "5", "[]", "{}", '{"reply":null}']) socket.say(frame);
    expect(ends).toEqual([]);
  });

  it("ends at what is no JSON: an event may have been in it", () => {
    welcome();
    socket.say("{");
    expect(ends).toMatchObject([{ reason: { code: 0, by: "network" } }]);
  });

  it("pings after a silence, and ends as half-open without an answer", async () => {
    welcome();
    await clock.advance(25_000);
    expect(socket.sent.at(-1)).toMatchObject({ cmd: "ping" });
    socket.dead = true;
    await clock.advance(10_000);
    expect(ends).toMatchObject([{ reason: { by: "heartbeat" } }]);
  });

  it("hears a reply as a sign of life", async () => {
    welcome();
    await clock.advance(25_000);
    socket.say({ reply: socket.sent.at(-1)!.id });
    await clock.advance(20_000);
    expect(ends).toEqual([]);
  });

  it("tells nothing after it was closed, and sets no timer", async () => {
    welcome();
    const call = transport.call({ cmd: "ping" });
    transport.close();
    await expect(call).rejects.toMatchObject({ code: "lost" });
    socket.say({ push: "message", room: "general", seq: 1 });
    socket.drop();
    await clock.advance(100_000);
    expect([pushes, ends, clock.pending]).toEqual([[], [], 0]);
  });

  it("fails, and later, where there is no WebSocket or it throws", async () => {
    open(
      class {
        constructor() {
          throw new Error("SecurityError: not from a page over https");
        }
      } as unknown as typeof sockets.WebSocket,
    );
    expect(ends).toEqual([]);
    await clock.advance(0);
    expect(ends).toMatchObject([{ reason: { by: "client" } }]);
    expect(ends[0]!.reason.text).toContain("SecurityError");
  });
});
