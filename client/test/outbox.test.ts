import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeLocks } from "./fakes/fake_locks.js";
import { ADA, ZOE } from "./fakes/fake_server.js";
import { openPage, texts, type Page } from "./fakes/page.js";
import { createClient } from "../src/client.js";
import type { Message } from "../src/types.js";

let wallMs = Date.UTC(2026, 0, 1);

beforeEach(() => {
  wallMs = Date.UTC(2026, 0, 1);
  vi.spyOn(Date, "now").mockImplementation(() => wallMs);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

async function online(page: Page): Promise<Page> {
  page.client.connect();
  await page.clock.advance(500);
  expect(page.client.state.get().status).toBe("online");
  return page;
}

function states({ client }: Page): [string, string][] {
  return client.outbox.get().map(({ text, status }) => [text, status]);
}

function sends({ server }: Page): string[] {
  return server.commands.filter(({ cmd }) => cmd === "send").map((command) => command["text"]);
}

test("one is on its way in each room, the others wait behind it", async () => {
  const page = await online(openPage());
  for (const text of ["a", "b", "c"]) page.client.room("one").send(text);
  page.client.room("two").send("d");
  expect(states(page)).toEqual([
    ["a", "sending"],
    ["b", "queued"],
    ["c", "queued"],
    ["d", "sending"],
  ]);
  await page.clock.advance(200);
  expect(states(page)).toEqual([]);
  expect(
    page.server
      .room("one")
      .messages()
      .map(({ text }) => text),
  ).toEqual(["a", "b", "c"]);
});

test("what it says is what was said, whatever becomes of the object", async () => {
  const page = openPage();
  const data = { options: ["tea", "coffee"] };
  const draft = { text: "Tea?", kind: "x-poll", format: "markdown" as const, data, reply_to: 3 };
  const handle = page.client.room("general").send(draft, { client_id: "mine" });
  data.options.push("nothing");
  expect(handle.client_id).toBe("mine");
  expect(page.client.outbox.get()).toEqual([
    {
      ...{ text: "Tea?", kind: "x-poll", format: "markdown", reply_to: 3 },
      ...{ data: { options: ["tea", "coffee"] }, client_id: "mine", room: "general" },
      ...{ status: "queued", attempts: 0, created: wallMs },
    },
  ]);
  await page.clock.advance(500);
  expect(page.server.commands.at(-1)).toEqual({
    ...{ cmd: "send", id: expect.any(Number), room: "general", client_id: "mine" },
    ...{ text: "Tea?", kind: "x-poll", format: "markdown", reply_to: 3 },
    data: { options: ["tea", "coffee"] },
  });
});

test("what cannot be sent is refused before it is queued", async () => {
  const page = await online(openPage());
  const room = page.client.room("general");
  const code = (said: string): unknown => {
    try {
      room.send(said);
      return "queued";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  expect(code("  \n")).toBe("bad_command");
  expect(code("x".repeat(16_384))).toBe("too_large");
  expect(code("é".repeat(8_180)), "bytes count, not characters").toBe("too_large");
  expect(code("é".repeat(8_000))).toBe("queued");
});

test("it holds 100 messages and 256 KiB, and says so at once", () => {
  const page = openPage();
  for (let number = 0; number < 100; number++)
    page.client.room(`room-${number % 7}`).send(`${number}`);
  expect(() => page.client.room("general").send("one more")).toThrow(
    expect.objectContaining({ code: "outbox_full" }),
  );
  const other = openPage();
  for (let number = 0; number < 17; number++) other.client.room("general").send("x".repeat(15_000));
  expect(() => other.client.room("help").send("x".repeat(15_000))).toThrow(
    expect.objectContaining({ code: "outbox_full" }),
  );
  expect(other.client.outbox.get()).toHaveLength(17);
});

test("the same client_id while it waits is the same message", () => {
  const { client } = openPage();
  const first = client.room("general").send("hi", { client_id: "x" });
  const again = client.room("general").send("hi", { client_id: "x" });
  expect(again.sent).toBe(first.sent);
  expect(client.outbox.get()).toHaveLength(1);
});

test("its ids begin with the time, so that the server's index of them grows at its end", () => {
  const randomUUID = vi.spyOn(crypto, "randomUUID");
  randomUUID.mockReturnValueOnce("ffffffff-0000-4000-8000-000000000000");
  wallMs = 1_800_000_000_000;
  const { server, clock } = openPage();
  const { WebSocket } = server.sockets;
  const client = createClient({ bootstrap: server.bootstrap, WebSocket, clock, storage: null });

  const { client_id } = client.room("general").send("one");
  wallMs += 1;
  const later = client.room("general").send("two").client_id;

  expect(client_id).toBe("1a3185c5000-ffffffff-0000-4000-8000-000000000000");
  expect(client_id < later).toBe(true);
});

test("a refusal without a time fails at once, in the server's words, and holds up its room", async () => {
  const page = await online(openPage());
  page.server.refuse = ({ text }) =>
    text === "bad" ? { code: "forbidden", text: "Not you." } : undefined;
  const { sent, client_id } = page.client.room("one").send("bad");
  page.client.room("one").send("good");
  page.client.room("two").send("elsewhere");
  await page.clock.advance(60_000);
  await expect(sent).rejects.toMatchObject({ code: "forbidden", message: "Not you." });
  expect(states(page)).toEqual([
    ["bad", "failed"],
    ["good", "queued"],
  ]);
  expect(page.client.outbox.get()[0]!.error).toMatchObject({ message: "Not you." });
  page.client.room("one").discard(client_id);
  await page.clock.advance(100);
  expect(sends(page)).toEqual(["bad", "elsewhere", "good"]);
});

test("retry sends what failed again, under the same client_id", async () => {
  const page = await online(openPage());
  let isRefused = true;
  page.server.refuse = ({ cmd }) =>
    cmd === "send" && isRefused ? { code: "forbidden" } : undefined;
  const { client_id } = page.client.room("general").send("hi");
  await page.clock.advance(100);
  isRefused = false;
  page.client.room("general").retry(client_id);
  page.client.room("general").retry("nothing of the kind");
  await page.clock.advance(100);
  expect(page.server.room("general").log).toMatchObject([{ client_id, text: "hi" }]);
  expect(states(page)).toEqual([]);
});

test("a message can be taken back until it is on its way", async () => {
  const page = await online(openPage());
  const room = page.client.room("general");
  const [first, second] = [room.send("a"), room.send("b")];
  expect(first.cancel()).toBe(false);
  expect(second.cancel()).toBe(true);
  expect(second.cancel()).toBe(false);
  await expect(second.sent).rejects.toMatchObject({ code: "discarded" });
  await page.clock.advance(100);
  await expect(first.sent).resolves.toMatchObject({ seq: 1 });
  expect(sends(page)).toEqual(["a"]);
});

test("discard gives back what it said", () => {
  const { client } = openPage();
  const { client_id } = client.room("general").send({ text: "hi", data: { a: 1 } });
  expect(client.room("general").discard(client_id)).toMatchObject({ text: "hi", data: { a: 1 } });
  expect(client.room("general").discard(client_id)).toBeUndefined();
});

test("what is in doubt is asked for at the next connection, and sent again only where it is not saved", async () => {
  const page = await online(openPage({ rooms: ["general"] }));
  const { server, clock } = page;
  const landed = page.client.room("general").send("saved, but not acknowledged");
  await clock.advance(15);
  expect(server.room("general").log).toHaveLength(1);
  server.drop();
  await clock.advance(0);
  expect(states(page)[0]![1]).toBe("queued");
  await clock.advance(2_000);
  await expect(landed.sent).resolves.toMatchObject({ seq: 1 });
  const hello = server.commands.filter(({ cmd }) => cmd === "hello").at(-1)!;
  expect(hello["pending"]).toEqual({ general: [landed.client_id] });
  expect(sends(page)).toEqual(["saved, but not acknowledged"]);

  const unsaved = page.client.room("general").send("never arrived");
  await clock.advance(5);
  server.drop();
  await clock.advance(2_000);
  await expect(unsaved.sent).resolves.toMatchObject({ seq: 2 });
  expect(texts(page.client, "general")).toEqual(["saved, but not acknowledged", "never arrived"]);
});

test("what was never on its way is not asked for", async () => {
  const page = openPage({ rooms: ["general"] });
  for (let number = 0; number < 60; number++) page.client.room("general").send(`${number}`);
  await page.clock.advance(100);
  expect(page.server.commands[0]).toMatchObject({ cmd: "hello", pending: {} });
});

test("after ten minutes without a connection it fails, and can be sent all the same", async () => {
  const page = openPage();
  page.server.down = true;
  const { sent, client_id } = page.client.room("general").send("hi");
  await page.clock.advance(601_000);
  await expect(sent).rejects.toMatchObject({ code: "expired" });
  page.server.down = false;
  await page.clock.advance(60_000);
  expect(states(page)).toEqual([["hi", "failed"]]);
  page.client.room("general").retry(client_id);
  await page.clock.advance(1_000);
  expect(page.server.room("general").log).toHaveLength(1);
});

test("what somebody else wrote is never sent in this person's name", async () => {
  const page = await online(openPage());
  page.server.refuse = () => ({ code: "overloaded", retry_after_ms: 5_000 });
  const { sent, client_id } = page.client.room("general").send("Zoë's");
  await page.clock.advance(100);
  page.server.refuse = () => undefined;
  page.server.identity = ADA;
  page.server.drop();
  await page.clock.advance(30_000);
  await expect(sent).rejects.toMatchObject({ code: "identity_changed" });
  expect(states(page)).toEqual([]);
  page.client.room("general").retry(client_id);
  expect(page.client.room("general").discard(client_id)).toBeUndefined();
  // Nor does it hold up what this person writes there.
  page.client.room("general").send("Ada's");
  await page.clock.advance(1_000);
  expect(page.server.room("general").log).toMatchObject([{ author: ADA, text: "Ada's" }]);
  page.server.identity = ZOE;
  page.server.drop();
  await page.clock.advance(30_000);
  expect(page.server.room("general").log).toMatchObject([
    { author: ADA, text: "Ada's" },
    { author: ZOE, text: "Zoë's", client_id },
  ]);
});

test("at the end, what was not sent is rejected, and nothing goes on", async () => {
  const page = openPage();
  page.server.down = true;
  const { sent } = page.client.room("general").send("hi");
  await page.clock.advance(100);
  page.client.close();
  await expect(sent).rejects.toMatchObject({ code: "closed" });
  await page.clock.advance(60_000);
  expect(page.clock.pending).toBe(0);
  expect(page.lifecycle.watched).toBe(0);
});

// --- across reloads ---

const persist = { outbox: { persist: true } };

/** Everything of a page but its storage is gone. */
function killed(page: Page, locks: FakeLocks): Partial<Page> {
  // Frozen for good: it dials no more.
  page.lifecycle.emit("suspend");
  page.server.drop();
  locks.held.clear();
  return { clock: page.clock, server: page.server, storage: page.storage };
}

test("what is unsent survives a reload, goes first, and goes once", async () => {
  const locks = new FakeLocks();
  vi.stubGlobal("navigator", { locks });
  const page = await online(openPage(persist));
  page.server.refuse = () => ({ code: "overloaded", retry_after_ms: 2_000 });
  for (const text of ["a", "b"]) page.client.room("general").send(text);
  await page.clock.advance(100);
  const rest = killed(page, locks);
  page.server.refuse = () => undefined;
  wallMs += 5_000;
  const after = openPage(persist, rest);
  after.client.room("general").send("c");
  await after.clock.advance(30_000);
  expect(
    after.server
      .room("general")
      .messages()
      .map(({ text }) => text),
  ).toEqual(["a", "b", "c"]);
  expect([...after.storage.items.keys()].filter((key) => key.includes("outbox"))).toEqual([]);
});

test("a page that is put aside holds no lock, and is as before when it is back", async () => {
  const locks = new FakeLocks();
  vi.stubGlobal("navigator", { locks });
  const page = await online(openPage(persist));
  page.server.refuse = ({ cmd }) =>
    cmd === "send" ? { code: "overloaded", retry_after_ms: 60_000 } : undefined;
  page.client.room("general").send("before");
  await page.clock.advance(100);
  expect(locks.held.size).toBe(1);
  page.lifecycle.emit("hidden");
  page.lifecycle.emit("suspend");
  await page.clock.advance(0);
  expect(locks.held.size, "what is here is for whoever is there").toBe(0);
  const key = `headgate.outbox.${ZOE.id}.0`;
  expect(page.storage.getItem(key)).toContain("before");
  page.server.down = true;
  page.lifecycle.emit("visible");
  page.lifecycle.emit("resume");
  await page.clock.advance(0);
  expect(locks.held.size).toBe(1);
  page.client.room("general").send("without a connection");
  expect(JSON.parse(page.storage.getItem(key)!)).toHaveLength(2);
  expect(states(page).map(([text]) => text)).toEqual(["before", "without a connection"]);
  page.client.close();
});

test("what was retried with success is not kept", async () => {
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  const page = await online(openPage(persist));
  page.server.refuse = ({ cmd }) => (cmd === "send" ? { code: "muted" } : undefined);
  const { client_id } = page.client.room("general").send("hi");
  await page.clock.advance(100);
  expect(states(page)).toEqual([["hi", "failed"]]);
  page.server.refuse = () => undefined;
  page.client.room("general").retry(client_id);
  await page.clock.advance(5_000);
  expect(page.server.room("general").log).toHaveLength(1);
  expect([...page.storage.items.keys()].filter((key) => key.includes("outbox"))).toEqual([]);
});

test("a storage that is forbidden all at once keeps nobody from sending", async () => {
  vi.stubGlobal("navigator", { locks: undefined });
  const page = await online(openPage(persist));
  await page.clock.advance(1_000);
  page.storage.forbidden = true;
  page.server.identity = ADA;
  page.server.drop();
  await page.clock.advance(5_000);
  page.client.room("general").send("hi");
  await page.clock.advance(5_000);
  expect(page.server.room("general").log).toHaveLength(1);
  page.client.close();
  expect(page.client.state.get().status).toBe("closed");
});

test("what no server takes is made into what it takes", async () => {
  const page = await online(openPage());
  const room = page.client.room("general");
  room.send({ text: "half \ud83d, whole \u{1f600}, \\ud83d, none \0", data: { a: ["\udc00"] } });
  expect(page.client.outbox.get()).toMatchObject([
    { text: "half \ufffd, whole \u{1f600}, \\ud83d, none \ufffd", data: { a: ["\ufffd"] } },
  ]);
  await page.clock.advance(200);
  const [{ seq, text }] = page.server.room("general").messages() as [Message];
  expect(text).toBe("half \ufffd, whole \u{1f600}, \\ud83d, none \ufffd");
  const edited = room.edit(seq, "\ude00!");
  await Promise.all([edited, page.clock.advance(200)]);
  expect(page.server.room("general").messages()[0]!.text).toBe("\ufffd!");
});

test("it is in the storage before it goes out", async () => {
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  const page = await online(openPage(persist));
  const order: string[] = [];
  page.storage.writing = (_, value) => order.push(`kept ${JSON.parse(value).length}`);
  page.server.sockets.last.received = ({ cmd }) => order.push(cmd);
  page.client.room("general").send("hi");
  expect(order[0]).toBe("kept 1");
  expect(order).toContain("send");
});

test("what is older than its time is shown as failed after a reload", async () => {
  const locks = new FakeLocks();
  vi.stubGlobal("navigator", { locks });
  const page = await online(openPage(persist));
  page.server.refuse = () => ({ code: "overloaded", retry_after_ms: 2_000 });
  page.client.room("general").send("old");
  await page.clock.advance(100);
  const rest = killed(page, locks);
  page.server.refuse = () => undefined;
  wallMs += 7 * 86_400_000;
  const after = await online(openPage(persist, rest));
  await after.clock.advance(5_000);
  expect(states(after)).toEqual([["old", "failed"]]);
  expect(after.client.outbox.get()[0]!.error).toMatchObject({ code: "expired" });
  expect(after.server.room("general").log).toEqual([]);
});

test("of two tabs, the one that is left sends what the other could not", async () => {
  const locks = new FakeLocks();
  vi.stubGlobal("navigator", { locks });
  const one = await online(openPage(persist));
  const two = await online(
    openPage(persist, { ...one, lifecycle: undefined!, client: undefined! }),
  );
  one.server.refuse = ({ text }) =>
    text === "from one" ? { code: "overloaded", retry_after_ms: 60_000 } : undefined;
  one.client.room("general").send("from one");
  await one.clock.advance(100);
  expect(two.client.outbox.get(), "while both are there, each has its own").toEqual([]);
  one.server.refuse = () => undefined;
  one.lifecycle.emit("suspend");
  locks.held.delete(`headgate.outbox.${ZOE.id}.0`);
  two.lifecycle.emit("visible");
  await two.clock.advance(1_000);
  expect(
    two.server
      .room("general")
      .messages()
      .map(({ text }) => text),
  ).toEqual(["from one"]);
});

test("what one person left is not sent for another", async () => {
  const locks = new FakeLocks();
  vi.stubGlobal("navigator", { locks });
  const page = await online(openPage(persist));
  page.server.refuse = () => ({ code: "overloaded", retry_after_ms: 2_000 });
  page.client.room("general").send("Zoë's");
  await page.clock.advance(100);
  const rest = killed(page, locks);
  page.server.refuse = () => undefined;
  page.server.identity = ADA;
  const after = await online(openPage(persist, rest));
  await after.clock.advance(60_000);
  expect(after.server.room("general").log).toEqual([]);
  expect(states(after)).toEqual([]);
  expect(after.storage.getItem(`headgate.outbox.${ZOE.id}.0`)).toContain("Zoë's");
});

test("what one person left in the storage stays theirs when another one comes and goes", async () => {
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  const page = await online(openPage(persist));
  page.server.refuse = ({ text }) =>
    text ? { code: "overloaded", retry_after_ms: 9_000 } : undefined;
  for (const text of ["one", "two"]) page.client.room("general").send(text);
  await page.clock.advance(100);
  page.server.identity = ADA;
  page.server.drop();
  await page.clock.advance(2_000);
  page.client.room("general").send("Ada's");
  await page.clock.advance(100);
  const kept = (id: string): string | null => page.storage.getItem(`headgate.outbox.${id}.0`);
  expect(kept(ZOE.id)).toContain("one");
  expect(kept(ZOE.id)).toContain("two");
  expect(kept(ADA.id)).toContain("Ada's");
  expect(kept(ADA.id)).not.toContain("one");
});

test("no more is put aside for those who have gone than one may have waiting", async () => {
  const page = await online(openPage({ outbox: { maxItems: 2 } }));
  const written = ["a", "b", "c", "d", "e", "f"];
  page.server.refuse = ({ text }) =>
    text ? { code: "overloaded", retry_after_ms: 90_000 } : undefined;
  for (const [at, id] of ["g:1", "g:2", "g:3"].entries()) {
    page.server.identity = { id, kind: "guest", name: id };
    page.server.drop();
    await page.clock.advance(2_000);
    for (const text of written.slice(2 * at, 2 * at + 2)) page.client.room("general").send(text);
  }
  page.server.refuse = () => undefined;
  for (const id of ["g:4", "g:1", "g:2", "g:3"]) {
    page.server.identity = { id, kind: "guest", name: id };
    page.server.drop();
    await page.clock.advance(2_000);
  }
  expect(
    page.server
      .room("general")
      .messages()
      .map(({ text }) => text),
  ).toEqual(["e", "f"]);
});

test("a storage that takes nothing keeps nothing from being sent", async () => {
  vi.stubGlobal("navigator", { locks: undefined });
  const page = openPage(persist);
  page.storage.forbidden = true;
  page.client.room("general").send("hi");
  await page.clock.advance(5_000);
  expect(page.server.room("general").log).toHaveLength(1);
});

test("what is said while former pages are looked for waits until they are found", async () => {
  vi.stubGlobal("navigator", { locks: undefined });
  const page = openPage(persist);
  const left = [
    { client_id: "left", room: "general", created: wallMs - 1_000, content: { text: "a" } },
  ];
  page.storage.items.set(`headgate.outbox.${ZOE.id}.3`, JSON.stringify(left));
  page.client.room("general").send("b");
  await page.clock.advance(60);
  expect(page.client.state.get().status).toBe("online");
  page.client.room("general").send("c");
  await page.clock.advance(5_000);
  expect(
    page.server
      .room("general")
      .messages()
      .map(({ text }) => text),
  ).toEqual(["a", "b", "c"]);
});

test("who comes back finds what they wrote once, though it is in the page and in the storage", async () => {
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  const page = await online(openPage(persist));
  page.server.refuse = ({ cmd }) => (cmd === "send" ? { code: "forbidden" } : undefined);
  page.client.room("general").send("Zoë's");
  await page.clock.advance(100);
  for (const identity of [ADA, ZOE]) {
    page.server.identity = identity;
    page.server.drop();
    await page.clock.advance(30_000);
  }
  expect(states(page)).toEqual([["Zoë's", "failed"]]);
});

test("a refusal teaches the limit that it names", async () => {
  const page = await online(openPage());
  page.server.refuse = ({ cmd }) =>
    cmd === "send"
      ? { code: "rate_limited", policy: "send.all", retry_after_ms: 9_000 }
      : undefined;
  page.client.room("general").send("hi");
  await page.clock.advance(50);
  expect(page.client.room("help").allowance.get()).toMatchObject({
    policy: "send.all",
    secondsLeft: 9,
  });
  expect(page.client.limits.get()).toContainEqual(
    expect.objectContaining({ policy: "send.all", source: "refusal" }),
  );
});
