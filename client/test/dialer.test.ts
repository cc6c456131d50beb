import { describe, expect, it, vi } from "vitest";

import { ChatError } from "../src/errors.js";
import { settle } from "./fakes/fake_clock.js";
import { FakeNetwork, json, problem } from "./fakes/fake_network.js";
import { DESCRIPTOR, FakePlace, WELCOME } from "./fakes/fake_place.js";

const BOOTSTRAP = "https://chat.test/api/v1/connect";

/** A storage as browsers have one. */
function fakeStorage(kept: Record<string, string> = {}) {
  const map = new Map(Object.entries(kept));
  return {
    getItem: (key: string) => map.get(key) ?? null,
    setItem: (key: string, value: string) => void map.set(key, value),
    removeItem: (key: string) => void map.delete(key),
  };
}

describe("opening", () => {
  it("does nothing before it is asked to, and needs to know where", async () => {
    const place = new FakePlace();
    place.link.open();
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length]).toEqual(["idle", 0]);
    place.link.attach({ ...DESCRIPTOR, url: "javascript:alert(1)" });
    place.link.attach({ ...DESCRIPTOR, protocol: "headgate.v2" });
    await place.clock.advance(60_000);
    expect([place.status, place.sockets.all.length]).toEqual(["idle", 0]);
  });

  it("attaches: a socket, a hello with the ticket, a welcome", async () => {
    const place = new FakePlace({ agent: "test/1", pace: "5/s", name: "Zoë" });
    place.owner.resumes = {
      resume: { general: { seq: 7, epoch: "e" } },
      pending: { general: ["c-1"] },
      rooms: ["help"],
    };
    const socket = await place.online();
    expect(socket.sent).toEqual([
      {
        cmd: "hello",
        id: 1,
        ticket: "ticket-0",
        name: "Zoë",
        agent: "test/1",
        pace: "5/s",
        resume: { general: { seq: 7, epoch: "e" } },
        pending: { general: ["c-1"] },
      },
    ]);
    expect(place.link.state.get()).toEqual({
      status: "online",
      since: place.clock.now(),
      transport: "websocket",
    });
    expect(place.states).toEqual(["connecting", "online"]);
    expect(place.owner.told).toEqual(["welcomed"]);
    expect(place.owner.descriptors).toEqual([DESCRIPTOR]);
  });

  it("asks bootstrap once, then opens by itself", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({
      bootstrap: BOOTSTRAP,
      fetch: network.fetch,
      rooms: ["general"],
      name: "Zoë",
      headers: () => ({ Authorization: "Bearer b" }),
    });
    place.link.open();
    place.link.open();
    await settle();
    expect(network.lines).toEqual(["POST /api/v1/connect"]);
    expect(network.last.body).toEqual({ rooms: ["general"], name: "Zoë" });
    expect(network.last.headers.get("Authorization")).toBe("Bearer b");
    expect(network.last.credentials).toBe("include");
    network.last.answer(json({ ...DESCRIPTOR, rooms: ["general"] }));
    const socket = await place.welcome();
    expect(socket.sent[0]).toMatchObject({ ticket: "ticket-0" });
    expect(place.owner.descriptors).toMatchObject([{ rooms: ["general"] }]);
    expect(place.owner.answers).toHaveLength(1);
  });

  it("says once that it connects, however often it is asked to", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    for (let i = 0; i < 5; i++) place.link.retryNow();
    expect(place.states).toEqual(["connecting"]);
  });

  it("opens no socket for a page that was hidden while bootstrap was asked", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    await settle();
    place.lifecycle.emit("hidden");
    network.last.answer(json(DESCRIPTOR));
    await settle();
    expect([place.status, place.sockets.all.length]).toEqual(["paused", 0]);
    place.lifecycle.emit("visible");
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-0" });
    expect(network.requests).toHaveLength(1);
  });

  it("comes back with the welcome's ticket, without asking bootstrap", async () => {
    const network = new FakeNetwork();
    network.answer = () => json(DESCRIPTOR);
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    (await place.welcome()).drop();
    await place.clock.advance(500);
    const socket = await place.welcome();
    expect(socket.sent[0]).toMatchObject({ ticket: "ticket-of-welcome" });
    expect(network.requests).toHaveLength(1);
  });

  it("uses a ticket once: after a hello without a welcome there is a new one", async () => {
    const network = new FakeNetwork();
    network.answer = () => json({ ...DESCRIPTOR, ticket: `ticket-${network.requests.length}` });
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    await place.clock.advance(0);
    place.sockets.last.drop(); // before hello: the ticket is still good
    await place.clock.advance(500);
    place.sockets.last.open();
    place.sockets.last.drop(4004);
    await place.clock.advance(1_000);
    const socket = await place.welcome();
    expect(place.sockets.all.flatMap(({ sent }) => sent.map(({ ticket }) => ticket))).toEqual([
      "ticket-1",
      "ticket-2",
    ]);
    expect(socket.sent).toHaveLength(1);
  });

  it("does not present a ticket that is too old", async () => {
    const network = new FakeNetwork();
    network.answer = () => json(DESCRIPTOR);
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    const socket = await place.welcome();
    await place.clock.advance(5_000);
    socket.drop();
    place.lifecycle.emit("hidden");
    await place.clock.advance(599_000);
    place.lifecycle.emit("visible");
    await place.clock.advance(0);
    expect(network.requests).toHaveLength(2);
  });

  it("comes back without a ticket where nobody gives one", async () => {
    const place = new FakePlace();
    (await place.online({ ticket: undefined as never, guest: "g-token" })).drop();
    await place.clock.advance(500);
    const socket = await place.welcome();
    expect(socket.sent[0]).toEqual({
      cmd: "hello",
      id: 1,
      guest: "g-token",
      resume: {},
      pending: {},
    });
  });

  it("drops the ticket when it is to show afresh who it is", async () => {
    const place = new FakePlace();
    (await place.online()).drop(4003);
    await place.clock.advance(500);
    expect((await place.welcome()).sent[0]).not.toHaveProperty("ticket");
  });

  it("tells nobody twice to join: attach while there is a connection only says the rooms", async () => {
    const place = new FakePlace();
    await place.online();
    place.link.attach({ ...DESCRIPTOR, ticket: "other", rooms: ["help"] });
    await place.clock.advance(1_000);
    expect(place.sockets.all).toHaveLength(1);
    expect(place.owner.descriptors.at(-1)).toMatchObject({ rooms: ["help"] });
    place.sockets.last.drop();
    await place.clock.advance(500);
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-of-welcome" });
  });
});

describe("a descriptor of another person", () => {
  const BEN = { id: "u:6", kind: "user", name: "Ben" } as const;
  const BENS = { ...DESCRIPTOR, ticket: "of Ben", user: BEN, rooms: ["help"] };

  it("has one connect as them, never over two sockets", async () => {
    const place = new FakePlace();
    const socket = await place.online();
    place.link.attach({ ...BENS, user: WELCOME.user });
    expect(socket.live).toBe(true);
    place.link.attach(BENS);
    expect(socket.live).toBe(false);
    const [hello] = (await place.welcome({ user: BEN })).sent;
    expect(hello).toMatchObject({ ticket: "of Ben" });
    expect(place.sockets.live).toHaveLength(1);
    expect(place.owner.told).toEqual(["welcomed", "lost", "welcomed"]);
    expect(place.owner.descriptors.at(-1)).toMatchObject({ rooms: ["help"] });
    // They stay it.
    place.link.attach({ ...BENS, ticket: "another of Ben" });
    await place.clock.advance(1_000);
    expect(place.sockets.all).toHaveLength(2);
  });

  it("is followed where one was a guest, or becomes one", async () => {
    const place = new FakePlace();
    await place.online({ user: { id: "g:1", kind: "guest", name: "Zoë" }, guest: "g-token" });
    place.link.attach({ ...DESCRIPTOR, guest: "of a new guest" });
    expect(place.sockets.all).toHaveLength(1);
    place.link.attach({ ...DESCRIPTOR, ticket: "of somebody" });
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "of somebody" });
    place.link.attach({ ...DESCRIPTOR, ticket: "of nobody", guest: "g-token" });
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "of nobody" });
    expect(place.sockets.live).toHaveLength(1);
  });

  it("wins over a bootstrap that is asked for who one was", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    (await place.online()).drop(4003);
    await place.clock.advance(500);
    place.link.attach(BENS);
    network.last.answer(json({ ...DESCRIPTOR, ticket: "of Ada" }));
    await settle();
    expect((await place.welcome({ user: BEN })).sent[0]).toMatchObject({ ticket: "of Ben" });
  });

  it("is no reason to become a guest where a request did not say who asks", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.attach(DESCRIPTOR);
    const socket = await place.welcome();
    const found = JSON.stringify({ ...DESCRIPTOR, guest: "new" });
    const answer = place.link.fetch("https://chat.test/thing/");
    network.last.answer(new Response(null, { headers: { "Headgate-Connect": found } }));
    await answer;
    expect(socket.live).toBe(true);
  });
});

describe("guests", () => {
  it("are the same after a reload", async () => {
    const storage = fakeStorage();
    const first = new FakePlace({ storage });
    await first.online({ guest: "g-token" });
    expect(JSON.parse(storage.getItem("headgate.guest")!)).toEqual({ token: "g-token" });
    const second = new FakePlace({ storage });
    expect((await second.online()).sent[0]).toMatchObject({ guest: "g-token", ticket: "ticket-0" });
  });

  it("are who they were where the page was rendered for a new guest", async () => {
    const storage = fakeStorage({ "headgate.guest": '{"token":"old","name":"Zoë"}' });
    const place = new FakePlace({ storage });
    place.link.attach({ ...DESCRIPTOR, guest: "new" });
    const [hello] = (await place.welcome()).sent;
    expect(hello).toMatchObject({ guest: "old", name: "Zoë" });
    expect(hello).not.toHaveProperty("ticket");
  });

  it("can take another name: at once, as the same guest", async () => {
    const storage = fakeStorage();
    const place = new FakePlace({ storage });
    const socket = await place.online({ guest: "g-token" });
    place.link.rename("Ada");
    expect(socket.live).toBe(false);
    const [hello] = (await place.welcome()).sent;
    expect(hello).toMatchObject({ guest: "g-token", name: "Ada" });
    expect(hello).not.toHaveProperty("ticket");
    expect(place.owner.told).toEqual(["welcomed", "lost", "welcomed"]);
    expect(JSON.parse(storage.getItem("headgate.guest")!)).toEqual({
      token: "g-token",
      name: "Ada",
    });
  });

  it("can take a name while bootstrap is asked, which knows another one", async () => {
    const network = new FakeNetwork();
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch });
    place.link.open();
    await settle();
    place.link.rename("Ada");
    await settle();
    network.requests[0]!.answer(json({ ...DESCRIPTOR, ticket: "nameless" }));
    await settle();
    expect(place.sockets.all).toHaveLength(0);
    expect(network.requests).toHaveLength(2);
    expect(network.last.body).toMatchObject({ name: "Ada" });
    network.last.answer(json({ ...DESCRIPTOR, ticket: "of Ada" }));
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "of Ada", name: "Ada" });
  });

  it("live without a storage, and with one that throws or holds nonsense", async () => {
    const throws = {
      getItem: () => {
        throw new Error("forbidden");
      },
      setItem: () => {
        throw new Error("full");
      },
      removeItem: () => undefined,
    };
    for (const storage of [null, throws, fakeStorage({ "headgate.guest": "{" })]) {
      const place = new FakePlace({ storage });
      (await place.online({ guest: "g-token" })).drop();
      await place.clock.advance(500);
      expect((await place.welcome()).sent[0]).toMatchObject({ guest: "g-token" });
    }
  });

  it("leave nothing in the storage of those who are none", async () => {
    const storage = fakeStorage();
    await new FakePlace({ storage }).online();
    expect(storage.getItem("headgate.guest")).toBeNull();
  });
});

describe("bootstrap", () => {
  function placeOf(network: FakeNetwork, options = {}): FakePlace {
    const place = new FakePlace({ bootstrap: BOOTSTRAP, fetch: network.fetch, ...options });
    place.link.open();
    return place;
  }

  it.each([
    [401, "unauthenticated"],
    [403, "csrf_failed"],
    [404, "not_found"],
  ])("takes %i for final, and says why", async (status, code) => {
    const network = new FakeNetwork();
    network.answer = () => problem(status, code);
    const place = placeOf(network);
    await place.clock.advance(600_000);
    expect(place.link.state.get()).toEqual({
      status: "closed",
      reason: { code: status, text: `It is ${code}.`, by: "http" },
    });
    expect([network.requests.length, place.clock.pending]).toEqual([1, 0]);
  });

  it("waits as long as a 429 or a 503 says", async () => {
    const network = new FakeNetwork();
    network.answer = () => problem(429, "rate_limited", { retry_after_ms: 12_345 });
    const place = placeOf(network);
    await settle();
    expect(place.waitMs).toBeGreaterThanOrEqual(12_345);
    network.answer = () => new Response("busy", { status: 503, headers: { "Retry-After": "60" } });
    await place.clock.advance(13_000);
    expect(network.requests).toHaveLength(2);
    expect(place.waitMs).toBeGreaterThanOrEqual(59_000);
    expect(place.link.state.get()).toMatchObject({
      reason: { code: 503, text: "HTTP 503", by: "http" },
    });
  });

  it.each([
    ["a network error", (network: FakeNetwork) => network.last.fail(), "network"],
    ["a 500", (network: FakeNetwork) => network.last.answer(problem(500, "internal")), "http"],
    ["a 408", (network: FakeNetwork) => network.last.answer(problem(408, "x")), "http"],
    [
      "a page",
      (network: FakeNetwork) => network.last.answer(new Response("<h1>Sign in</h1>")),
      "http",
    ],
    [
      "no descriptor",
      (network: FakeNetwork) => network.last.answer(json({ url: "ws://x/" })),
      "http",
    ],
    ["null", (network: FakeNetwork) => network.last.answer(json(null)), "http"],
  ])("tries again after %s", async (_, answer, by) => {
    const network = new FakeNetwork();
    const place = placeOf(network);
    await settle();
    answer(network);
    await settle();
    expect(place.link.state.get()).toMatchObject({ status: "waiting", reason: { by } });
    await place.clock.advance(500);
    expect(network.requests).toHaveLength(2);
  });

  it("gives up an answer that does not come in 10 s", async () => {
    const network = new FakeNetwork();
    const place = placeOf(network);
    await place.clock.advance(9_999);
    expect(place.status).toBe("connecting");
    await place.clock.advance(1);
    expect(place.status).toBe("waiting");
    expect(network.last.signal!.aborted).toBe(true);
  });

  it("may be a function, which may ignore the signal", async () => {
    let signal: AbortSignal | undefined;
    let settleIt: ((descriptor: typeof DESCRIPTOR) => void) | undefined;
    const bootstrap = (given: AbortSignal): Promise<typeof DESCRIPTOR> => {
      signal = given;
      return new Promise((resolve) => {
        settleIt = resolve;
      });
    };
    const place = new FakePlace({ bootstrap });
    place.link.open();
    await place.clock.advance(10_000);
    expect([place.status, signal!.aborted]).toEqual(["waiting", true]);
    await place.clock.advance(500);
    settleIt!(DESCRIPTOR);
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-0" });
  });

  it("may be a function that says no: for good, or with a wait for now", async () => {
    const says = async (error: ChatError): Promise<FakePlace> => {
      const place = new FakePlace({ bootstrap: () => Promise.reject(error) });
      place.link.open();
      await settle();
      return place;
    };
    const no = await says(new ChatError("unauthenticated", "Sign in first."));
    expect(no.link.state.get()).toMatchObject({
      status: "closed",
      reason: { text: "Sign in first." },
    });
    const later = await says(new ChatError("rate_limited", "Too fast.", 7_000));
    expect(later.waitMs).toBeGreaterThanOrEqual(7_000);
  });

  it.each([undefined, null, "no", 7])("may throw what is no error: %s", async (thrown) => {
    let asked = 0;
    const place = new FakePlace({
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      bootstrap: () => (asked++ ? Promise.resolve(DESCRIPTOR) : Promise.reject(thrown)),
    });
    place.link.open();
    await settle();
    expect(place.link.state.get()).toMatchObject({
      status: "waiting",
      reason: { text: String(thrown), by: "network" },
    });
    await place.clock.advance(500);
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-0" });
  });

  it("is asked once also where the page changes its mind meanwhile, and then used", async () => {
    const network = new FakeNetwork();
    const place = placeOf(network);
    await settle();
    for (const [away, back] of [
      ["offline", "online"],
      ["suspend", "resume"],
    ] as const) {
      place.lifecycle.emit(away);
      expect(place.status).not.toBe("connecting");
      place.lifecycle.emit(back);
      await place.clock.advance(1_000);
      expect(place.status).toBe("connecting");
    }
    expect(network.requests).toHaveLength(1);
    network.last.answer(json({ ...DESCRIPTOR, guest: "g-token" }));
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-0", guest: "g-token" });
  });

  it("reads the header of a view that answers something else", async () => {
    const network = new FakeNetwork();
    network.answer = () =>
      json({ comment: 7 }, { headers: { "Headgate-Connect": JSON.stringify(DESCRIPTOR) } });
    const place = placeOf(network);
    expect((await place.welcome()).sent[0]).toMatchObject({ ticket: "ticket-0" });
  });

  it("is the same guest, and shows the page's CSRF token to its own origin alone", async () => {
    vi.stubGlobal("document", { cookie: "a=b; csrftoken=tok; c=d", hidden: false });
    vi.stubGlobal("location", { href: "https://chat.test/page", origin: "https://chat.test" });
    const tokens = [];
    for (const bootstrap of ["/api/v1/connect", BOOTSTRAP, "https://other.test/connect"]) {
      const network = new FakeNetwork();
      placeOf(network, { bootstrap, storage: fakeStorage({ "headgate.guest": '{"token":"g"}' }) });
      await settle();
      tokens.push(network.last.headers.get("X-CSRFToken"));
      expect(network.last.headers.get("Headgate-Guest")).toBe("g");
    }
    expect(tokens).toEqual(["tok", "tok", null]);
  });

  it("sends the CSRF token that it was given, and not that of a stray cookie", async () => {
    vi.stubGlobal("document", { cookie: "csrftoken=stray", hidden: false });
    vi.stubGlobal("location", { href: "https://chat.test/page", origin: "https://chat.test" });
    const network = new FakeNetwork();
    placeOf(network, { bootstrap: BOOTSTRAP, headers: () => ({ "X-CSRFToken": "given" }) });
    await settle();
    expect(network.last.headers.get("X-CSRFToken")).toBe("given");
  });
});
