// The whole client against the real server, with its limits on. HEADGATE_LIMITED_URL is
// where `headgate serve --guests --demo` listens.

import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";

import { grow } from "../src/grow.js";
import { createClient } from "../src/index.js";
import type { Client, ClientOptions, Message, Store } from "../src/types.js";

const URL = process.env["HEADGATE_LIMITED_URL"];
const ROOM = "general";

/** Wait until a store says so; the test's timeout is the limit. */
function until<T>(store: Store<T>, look: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    const see = (): void => {
      const value = store.get();
      if (!look(value)) return;
      end();
      resolve(value);
    };
    const end = store.subscribe(see);
    see();
  });
}

describe.skipIf(!URL)("the server with limits (skipped unless HEADGATE_LIMITED_URL is set)", () => {
  const clients: Client[] = [];
  const sockets: WebSocket[] = [];

  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
    sockets.length = 0;
  });

  function connect(options: ClientOptions = {}): Client {
    class Noted extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    }
    const client = createClient({
      bootstrap: `${URL!}/api/v1/connect`,
      rooms: [ROOM],
      WebSocket: Noted as unknown as NonNullable<ClientOptions["WebSocket"]>,
      storage: null,
      ...options,
    });
    clients.push(client);
    client.connect();
    return client;
  }

  const live = (client: Client) =>
    until(client.room(ROOM).timeline, (timeline) => timeline.status === "live");
  const textsOf = (messages: readonly Message[], mark: string): string[] =>
    messages.map((message) => message.text).filter((text) => text.startsWith(mark));

  it("paces more than may go at once: all arrive, once, in order, and none is refused", async () => {
    const writer = connect({ name: "Zoë" });
    const reader = connect();
    await Promise.all([live(writer), live(reader)]);
    const room = writer.room(ROOM);
    const { remaining } = room.allowance.get();
    const limit = writer.limits.get().find(({ policy }) => policy === "send");
    expect(limit).toMatchObject({ room: ROOM, remaining, source: "announced" });
    const mark = crypto.randomUUID();
    const texts = Array.from({ length: remaining + 3 }, (_, n) => `${mark} ${n}`);
    const refusals: unknown[] = [];
    writer.on("push", (push) => "error" in push && refusals.push(push));

    const handles = texts.map((text) => room.send(text));
    const waits: number[] = [];
    const end = room.allowance.subscribe(() => waits.push(room.allowance.get().secondsLeft));
    const sent = await Promise.all(handles.map((handle) => handle.sent));
    end();

    expect(sent.map(({ seq }) => seq)).toEqual(sent.map(({ seq }) => seq).sort((a, b) => a - b));
    const { messages } = await until(
      reader.room(ROOM).timeline,
      (timeline) => textsOf(timeline.messages, mark).length >= texts.length,
    );
    expect(textsOf(messages, mark)).toEqual(texts);
    expect(textsOf(room.timeline.get().messages, mark)).toEqual(texts);
    expect(room.timeline.get().unsent).toEqual([]);
    expect(Math.max(...waits)).toBeGreaterThan(0);
    expect(refusals).toEqual([]);
  }, 20_000);

  it("loses nothing and doubles nothing where sockets are cut while it writes", async () => {
    const writer = connect({ reconnect: { minMs: 100, maxMs: 200 } });
    await live(writer);
    const mark = crypto.randomUUID();
    const texts = Array.from({ length: 6 }, (_, n) => `${mark} ${n}`);
    const handles = texts.map((text) => writer.room(ROOM).send(text));
    for (const handle of handles.slice(0, 3)) {
      await handle.sent;
      sockets.at(-1)!.terminate();
    }
    await Promise.all(handles.map((handle) => handle.sent));

    const reader = connect();
    const { messages } = await live(reader);
    expect(textsOf(messages, mark)).toEqual(texts);
    expect(textsOf(writer.room(ROOM).timeline.get().messages, mark)).toEqual(texts);
    expect(sockets.length).toBeGreaterThan(2);
  }, 20_000);

  it("grows a message while sockets are cut, and everybody ends with the same text", async () => {
    const writer = connect({ reconnect: { minMs: 100, maxMs: 200 } });
    const [reader] = [connect(), await live(writer)];
    await live(reader);
    const of = (client: Client, seq: number): Store<Message | undefined> => {
      const { timeline } = client.room(ROOM);
      const get = () => timeline.get().messages.find((message) => message.seq === seq);
      return { ...timeline, get };
    };
    const out = await grow(writer, ROOM, { format: "markdown" });
    const words = Array.from({ length: 60 }, (_, n) => `**word** ${n} 👋\n`);
    const seen = new Set<string>();
    const end = reader.room(ROOM).timeline.subscribe(() => {
      const { text, open } = of(reader, out.seq).get() ?? {};
      if (open) seen.add(text!);
    });
    for (const [n, word] of words.entries()) {
      out.write(word);
      if (n % 20 === 10) for (const socket of sockets) socket.terminate();
      await new Promise((go) => setTimeout(go, 30));
    }
    await out.done();
    const whole = words.join("");
    const ended = await until(of(reader, out.seq), (message) => message?.open === undefined);
    end();
    expect(ended).toMatchObject({ text: whole, format: "markdown" });
    expect([ended!.edited, ended!.state]).toEqual([undefined, undefined]);
    await until(of(writer, out.seq), (message) => message?.text === whole);
    // It was seen to grow, and never as anything else.
    expect(seen.size).toBeGreaterThan(3);
    for (const text of seen) expect(whole.startsWith(text)).toBe(true);
    const late = connect();
    await live(late);
    expect(of(late, out.seq).get()).toMatchObject({ text: whole });
  }, 20_000);

  it("stops a message of one's own, and whoever writes it hears of it", async () => {
    const writer = connect();
    await live(writer);
    expect(writer.limits.get().map(({ policy }) => policy)).toContain("append");
    const out = await grow(writer, ROOM);
    out.write("so far");
    const { timeline } = writer.room(ROOM);
    const last = () => timeline.get().messages.at(-1)!;
    await until(timeline, () => last().text === "so far");
    await writer.room(ROOM).cancel(out.seq);
    await until(timeline, () => last().state === "cancelled");
    expect(out.signal.reason).toMatchObject({ code: "not_growing" });
    await expect(out.done()).rejects.toMatchObject({ code: "not_growing" });
    await expect(writer.room(ROOM).cancel(out.seq)).rejects.toMatchObject({ code: "not_growing" });
  });
});
