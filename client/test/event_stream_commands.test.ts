import { beforeEach, describe, expect, it } from "vitest";

import { BlockedPlace, code } from "./fakes/blocked_place.js";
import { settle } from "./fakes/fake_clock.js";
import {
  type FakeEvents,
  type FakeNetwork,
  type FakeRequest,
  json,
  problem,
} from "./fakes/fake_network.js";

describe("commands without a WebSocket", () => {
  let place: BlockedPlace;
  let network: FakeNetwork;
  let streams: FakeEvents[];

  beforeEach(() => {
    place = new BlockedPlace();
    ({ network, streams } = place);
  });

  const fields = { room: "general" };

  it.each([
    [
      { cmd: "send", ...fields, client_id: "c-1", text: "hi", reply_to: undefined },
      "POST /api/v1/rooms/general/messages",
      { client_id: "c-1", text: "hi" },
    ],
    [
      { cmd: "edit", ...fields, target: 7, text: "ho" },
      "PATCH /api/v1/rooms/general/messages/7",
      { text: "ho" },
    ],
    [{ cmd: "delete", ...fields, target: 7 }, "DELETE /api/v1/rooms/general/messages/7", undefined],
    [
      { cmd: "cancel", ...fields, seq: 7 },
      "POST /api/v1/rooms/general/messages/7/cancel",
      { seq: 7 },
    ],
    [
      { cmd: "history", ...fields, before: 9, limit: 50, after: undefined },
      "GET /api/v1/rooms/general/messages?before=9&limit=50",
      undefined,
    ],
    [
      { cmd: "history", ...fields, of: "events", after: 3, to: 5 },
      "GET /api/v1/rooms/general/events?after=3&to=5",
      undefined,
    ],
  ])("%o is a request", async (command, line, body) => {
    await place.stream();
    const call = place.link.call(command);
    await settle();
    expect(network.lines.at(-1)).toBe(line);
    expect(network.last.body).toEqual(body);
    expect(network.last.headers.get("headgate-guest")).toBe("g-token");
    expect(network.last.headers.get("content-type")).toBe(body ? "application/json" : null);
    network.last.answer(json({ seq: 11 }, { status: 201, headers: { "Headgate-Guest": "g-2" } }));
    expect(await call).toEqual({ seq: 11 });
    // What an answer says of the guest counts for the next request.
    void code(place.link.call(command));
    await settle();
    expect(network.last.headers.get("headgate-guest")).toBe("g-2");
    expect(place.owner.answers.at(-1)!.status).toBe(201);
    network.last.answer(json({ seq: 12 }));
    await place.clock.advance(20_000);
    expect(place.status).toBe("online");
  });

  it("go to no other path than the API's, whatever a room is called", async () => {
    await place.stream();
    void code(place.link.call({ cmd: "send", room: "../../sign-out/?x", text: "hi" }));
    await settle();
    expect(new URL(network.last.url).pathname).toBe(
      "/api/v1/rooms/..%2F..%2Fsign-out%2F%3Fx/messages",
    );
  });

  it("are refused in the same words as over a socket", async () => {
    await place.stream();
    const call = place.link.call({ cmd: "send", ...fields, text: "hi" });
    await settle();
    network.last.answer(
      problem(429, "rate_limited", { policy: "send", retry_after_ms: 730 }, { "Retry-After": "1" }),
    );
    await expect(call).rejects.toMatchObject({
      code: "rate_limited",
      message: "It is rate_limited.",
      policy: "send",
      retryAfterMs: 730,
    });
    expect(place.status).toBe("online");
  });

  it("obey Retry-After where a proxy says no", async () => {
    await place.stream();
    const call = place.link.call({ cmd: "send", ...fields, text: "hi" });
    await settle();
    network.last.answer(
      new Response("slow down", { status: 429, headers: { "Retry-After": "3" } }),
    );
    await expect(call).rejects.toMatchObject({ code: "http", retryAfterMs: 3_000 });
  });

  it.each([
    ["no network", (request: FakeRequest) => request.fail()],
    ["a proxy's 502", (request: FakeRequest) => request.answer(new Response("x", { status: 502 }))],
    ["an answer cut off", (request: FakeRequest) => request.answer(new Response("{"))],
  ])("are lost with the connection at %s", async (_, answer) => {
    await place.stream();
    const call = code(place.link.call({ cmd: "send", ...fields, text: "hi" }));
    await settle();
    answer(network.last);
    expect(await call).toBe("lost");
    expect(place.owner.told.at(-1)).toBe("lost");
    expect(place.status).toBe("waiting");
  });

  it("are lost after 10 s without an answer, and at the end of the stream", async () => {
    const stream = await place.stream();
    const late = code(place.link.call({ cmd: "send", ...fields, text: "hi" }));
    await place.clock.advance(9_999);
    expect(place.status).toBe("online");
    await place.clock.advance(1);
    expect(await late).toBe("lost");
    expect(stream).toBe(streams[0]);
    const again = await place.stream();
    const call = code(place.link.call({ cmd: "send", ...fields, text: "hi" }));
    await settle();
    again.end();
    expect(await call).toBe("lost");
    expect(network.last.signal!.aborted).toBe(true);
  });

  it("that have no door are refused, signals are dropped", async () => {
    await place.stream();
    expect(await code(place.link.call({ cmd: "read", ...fields, seq: 9 }))).toBe("unsupported");
    place.link.post({ cmd: "typing", ...fields });
    await settle();
    expect(network.requests).toHaveLength(1);
  });
});
