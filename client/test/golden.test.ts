// The examples of protocol/golden, which the server's tests read too.

import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { ERRORS } from "../src/codes.js";
import type { Client, Draft, Message } from "../src/types.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { FakeSockets, type SentCommand } from "./fakes/fake_socket.js";

interface Example {
  name: string;
  struct: string;
  mode?: string;
  text: string;
  decoded?: Record<string, any>;
  runs?: Record<string, [string, number]>;
}

function read(name: string): any {
  return JSON.parse(readFileSync(new URL(`../../protocol/${name}`, import.meta.url), "utf8"));
}

/** The examples of a file, with what is too long to be written out put in. */
function examples(name: string, ...structs: string[]): Example[] {
  const all = (read(`golden/${name}.json`) as Example[]).map(({ runs = {}, ...example }) => {
    let json = JSON.stringify(example);
    for (const [key, [text, times]] of Object.entries(runs)) {
      // Both stand within a string, the text within one more.
      const [inText, inDecoded] = [JSON.stringify(JSON.stringify(text)), JSON.stringify(text)];
      const long = text === JSON.parse(inDecoded) && /^[^"\\]*$/.test(text);
      if (!long) throw new Error(`${example.name}: escape ${inText}`);
      json = json.replaceAll(key, text.repeat(times));
    }
    return JSON.parse(json) as Example;
  });
  return all.filter(
    ({ struct, mode }) =>
      mode !== "headgate.plain" && (!structs.length || structs.includes(struct)),
  );
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema(read("schema.json"), "headgate");
const isCommand = ajv.getSchema("headgate#/$defs/command")!;

const WELCOME = {
  ...{ push: "welcome", user: { id: "u:5", kind: "user", name: "Ada" }, rooms: {}, limits: [] },
  ...{ heartbeat_ms: 25_000, max_message_bytes: 16_384 },
};

/** A client online in a room, whose server says what the test has it say. */
async function online(
  answers: Record<string, object | string> = {},
  welcome: object | string = WELCOME,
  head = 1040,
) {
  const clock = new FakeClock();
  const sent: SentCommand[] = [];
  const page = { room: "general", messages: [], events: [], head, epoch: "9f2c01ab", more: false };
  const sockets = new FakeSockets((socket) => {
    queueMicrotask(() => socket.open());
    socket.received = (command) => {
      sent.push(command);
      expect(isCommand(command), JSON.stringify([command, isCommand.errors])).toBe(true);
      const given =
        answers[command.cmd] ??
        {
          hello: welcome,
          history: page,
          join: { room: "general", head, epoch: "9f2c01ab" },
        }[command.cmd];
      const reply = typeof given === "string" ? (JSON.parse(given) as object) : (given ?? {});
      const frame = command.cmd === "hello" ? given : { ...reply, reply: command.id };
      queueMicrotask(() => socket.say(frame));
    };
  });
  const client: Client = createClient({
    attach: undefined,
    bootstrap: async () => ({
      ...{ url: "ws://chat.test/ws/chat/", protocol: "headgate.v1", ticket: "t.abc" },
      ...{ ticket_expires_in_ms: 30_000, rooms: [] },
    }),
    ...{ clock, WebSocket: sockets.WebSocket, lifecycle: null, storage: null, random: () => 0 },
    rooms: ["general"],
  } as object);
  await clock.advance(100);
  return { clock, client, sent, say: (frame: unknown) => sockets.last.say(frame) };
}

function without(message: Message, field: string): Message {
  return Object.fromEntries(
    Object.entries(message).filter(([name]) => name !== field),
  ) as unknown as Message;
}

/** Without what is null, empty or the default. */
function bare(command: Record<string, any>): Record<string, unknown> {
  const defaults: Record<string, unknown> = {
    ...{ kind: "text", format: "plain", priority: "normal", of: "messages", typing: true },
    open: false,
  };
  return Object.fromEntries(
    Object.entries(command).filter(
      ([field, value]) => value !== null && field !== "id" && defaults[field] !== value,
    ),
  );
}

// Whether the largest one fits depends on the id that it gets, so the client allows for any.
const sendable = examples("commands", "Send").filter(({ text }) => text.length < 16_000);

test.each(sendable)("a client can send: $name", async ({ decoded }) => {
  const { cmd: _, room, client_id, id: __, ...rest } = decoded!;
  const { client, clock, sent } = await online();
  const draft = bare(rest) as unknown as Draft;
  client.room(room).send(draft, client_id ? { client_id } : {});
  await clock.advance(10);
  const { client_id: given, ...command } = sent.find(({ cmd }) => cmd === "send")!;
  expect({ ...bare(command), ...(client_id && { client_id: given }) }).toEqual(bare(decoded!));
});

test.each(examples("commands", "Edit", "Delete", "Typing", "Append", "Cancel"))(
  "a client can say: $name",
  async ({ decoded }) => {
    const { cmd, room: name, target, typing, seq, at, text, state, ...rest } = decoded!;
    const { client, clock, sent } = await online();
    const room = client.room(name);
    if (cmd === "edit") void room.edit(target, bare({ text, ...rest }) as unknown as Draft);
    else if (cmd === "append") void room.append(seq, at, text, state ?? undefined);
    else if (cmd === "cancel") void room.cancel(seq);
    else if (cmd === "delete") void room.delete(target);
    else {
      room.typing();
      if (!typing) room.typing(false);
    }
    await clock.advance(10);
    expect(bare(sent.at(-1)!)).toEqual(bare(decoded!));
  },
);

test("a client reads, joins, leaves and fills gaps as in the examples", async () => {
  const named = (name: string): object =>
    bare(examples("commands").find((example) => example.name === name)!.decoded!);
  const { client, clock, sent, say } = await online({}, WELCOME, 1041);
  const room = client.room("general");
  const [page, join] = sent.slice(1).map(bare);
  expect(page).toEqual(named("history, the newest page"));
  expect(join).toEqual(named("join after a seq"));
  say({ push: "gap", room: "general", from: 1042, to: 1044 });
  say({ ...MESSAGE, seq: 1045 });
  void room.fillGap(room.timeline.get().gaps[0]!);
  await clock.advance(10);
  expect(bare(sent.at(-1)!)).toEqual({ ...named("history of events, to fill a gap"), limit: 200 });
  room.markRead(1045);
  await clock.advance(1_000);
  expect(bare(sent.at(-1)!)).toEqual(named("read"));
  room.leave();
  expect(bare(sent.at(-1)!)).toEqual(named("leave"));
});

const MESSAGE = {
  ...{ push: "message", room: "general", author: WELCOME.user, text: "hi" },
  at: "2026-11-23T09:15:30.123Z",
};

test.each(examples("pushes", "Welcome"))("it comes in with: $name", async ({ text }) => {
  const welcome = JSON.parse(text) as Record<string, any>;
  for (const frame of [text, JSON.stringify({ ...welcome, later: { a: 1 } })]) {
    const { client } = await online({}, frame);
    expect(client.state.get().status).toBe("online");
    expect(client.user.get()).toEqual(welcome["user"]);
    const { timeline, allowance } = client.room("general");
    expect(timeline.get().status).toBe("live");
    const all = welcome["limits"].find(({ policy }: { policy: string }) => policy === "send.all");
    if (all) expect(allowance.get()).toMatchObject({ policy: "send.all", secondsLeft: 1 });
  }
});

const EVENTS = ["Message", "Edited", "Deleted", "Membership"];

test.each(examples("pushes", ...EVENTS))("an event is applied: $name", async ({ text }) => {
  const event = JSON.parse(text) as Record<string, any>;
  const { seq, target } = event as { seq: number; target?: number };
  const known = { ...MESSAGE, seq: target ?? seq - 1, data: { old: true } };
  const messages = seq > 1 ? [known] : [];
  const page = { room: "general", messages, head: seq - 1, epoch: "9f2c01ab", more: false };
  const outcomes = [];
  for (const frame of [text, JSON.stringify({ ...event, later: { a: 1 } })]) {
    const { client, say } = await online({ history: page }, WELCOME, seq - 1);
    say(frame);
    const { head, messages: shown } = client.room("general").timeline.get();
    expect(head).toBe(seq);
    outcomes.push(shown.map((message) => without(message, "later")));
  }
  expect(outcomes[1]).toEqual(outcomes[0]);
  const last = outcomes[0]!.at(-1)!;
  const { push, ...fields } = event;
  if (push === "message") expect(last).toEqual(fields);
  if (push === "edited") {
    const { state } = event as { state?: string };
    expect(last).toMatchObject({ seq: target, text: event["text"] });
    expect(last.edited).toBe(state ? undefined : seq);
    expect(last.state).toBe(state === "done" ? undefined : state);
    expect(last.data).toEqual(event["data"]);
    expect(last.format).toBe(event["format"]);
  }
  if (push === "deleted") expect(last).toMatchObject({ seq: target, text: "", deleted: true });
});

test.each(
  examples("pushes").filter(({ struct }) => ![...EVENTS, "Welcome", "GoingAway"].includes(struct)),
)("it is understood: $name", async ({ text, struct }) => {
  const push = JSON.parse(text) as Record<string, any>;
  const rooms = push["room"] ? push : { ...push, joined: push["joined"] ?? [] };
  const { client, clock, say } = await online({}, WELCOME, 1045);
  const room = client.room("general");
  const events: unknown[] = [];
  for (const name of ["gap", "reset", "rooms"] as const)
    client.on(name, (event) => events.push(event));
  say(text);
  await clock.advance(10);
  const shown = room.timeline.get();
  const { author } = push;
  switch (struct) {
    case "TypingSignal":
      expect(author.id).toBe(client.user.get()!.id); // one's own: not shown
      expect(room.typists.get()).toEqual([]);
      say({ ...push, author: { ...author, id: "u:99" } });
      expect(room.typists.get()).toHaveLength(push["typing"] ? 1 : 0);
      break;
    case "ReadMark":
      expect(shown.read).toBe(push["seq"]);
      break;
    case "Partial":
      // The message itself is still to come.
      expect(shown.messages).toEqual([]);
      break;
    case "Presence":
      expect(room.presence.get()).toEqual({
        here: push["here"] ?? push["joined"] ?? [],
        off: push["off"] ?? false,
      });
      break;
    case "Gap":
      expect(shown.gaps).toEqual([{ from: push["from"], to: push["to"] }]);
      expect(shown.head).toBe(push["to"]);
      break;
    case "Reset":
      expect(events).toEqual([{ room: "general" }]);
      break;
    case "RoomChanged":
      if (push["room"] !== "general") break;
      expect(shown.moderates).toBe(push["moderates"] ?? false);
      expect(shown.readOnly).toBe(push["read_only"] ?? false);
      expect(room.allowance.get().slowModeMs).toBe(push["exempt"] ? 0 : push["slow_mode_ms"]);
      break;
    case "Rooms": {
      const { push: _, ...fields } = push;
      expect(events).toEqual([fields]);
      expect(shown.status).toBe(
        push["left"]?.includes("general") && !push["joined"]?.includes("general")
          ? "refused"
          : "live",
      );
      break;
    }
    default:
      expect.unreachable(`${struct}: ${JSON.stringify(rooms)}`);
  }
});

test("parts of a growing message are put together", async () => {
  const begins = examples("pushes").find(({ name }) => name === "message that begins to grow");
  const message = JSON.parse(begins!.text) as Record<string, any>;
  const { client, say } = await online({}, WELCOME, message["seq"] - 1);
  say(begins!.text);
  const parts = examples("pushes", "Partial").filter(({ text }) =>
    text.includes(`:${message["seq"]},`),
  );
  for (const { text } of parts) say(text);
  const [shown] = client.room("general").timeline.get().messages;
  expect(shown).toEqual({ ...without(message as Message, "push"), text: "Привет 👋 there" });
});

test.each(examples("replies", "Failure"))(
  "a refusal of what is sent is shown: $name",
  async ({ text }) => {
    const { error } = JSON.parse(text) as { error: Record<string, any> };
    const { client, clock } = await online({ send: text });
    client.room("general").send("hi");
    await clock.advance(1);
    const [shown] = client.outbox.get();
    const isRetried =
      error["retry_after_ms"] !== undefined ||
      ["overloaded", "unavailable", "internal"].includes(error["code"]);
    expect(shown!.status).toBe(isRetried ? "waiting" : "failed");
    if (!isRetried)
      expect(shown!.error).toMatchObject({ code: error["code"], message: error["text"] });
    expect(Object.keys(ERRORS)).toContain(error["code"]);
  },
);

test.each(examples("replies", "Saved"))("what is saved is settled: $name", async ({ text }) => {
  const { client, clock } = await online({ send: text });
  const { sent } = client.room("general").send("hi");
  await clock.advance(1);
  await expect(sent).resolves.toMatchObject({ seq: JSON.parse(text).seq });
});

test.each(examples("replies", "Joined"))(
  "a room stands as the reply says: $name",
  async ({ text }) => {
    const joined = JSON.parse(text) as Record<string, any>;
    const { client } = await online({ join: text }, WELCOME, joined["head"]);
    expect(client.room("general").timeline.get()).toMatchObject({
      ...{ status: "live", title: joined["title"] ?? "general" },
      ...{ read: joined["read"] ?? 0, unread: joined["unread"] ?? 0 },
      ...{ moderates: !!joined["moderates"], readOnly: !!joined["read_only"] },
    });
  },
);

test.each(examples("replies", "MessagesPage"))("a page is shown: $name", async ({ text }) => {
  const page = JSON.parse(text) as Record<string, any>;
  const { client } = await online({ history: text }, WELCOME, page["head"]);
  const shown = client.room("general").timeline.get();
  expect(shown).toMatchObject({ head: page["head"], epoch: page["epoch"], hasOlder: page["more"] });
  expect(shown.messages).toEqual(
    page["messages"].map((message: Message) => without(message, "push")),
  );
});

test.each(examples("replies", "EventsPage"))("events fill a gap: $name", async ({ text }) => {
  const { events, head } = JSON.parse(text) as {
    events: { push: string; seq: number; target?: number }[];
    head: number;
  };
  const answers: Record<string, string> = {};
  const { client, clock, say } = await online(answers, WELCOME, 1041);
  const room = client.room("general");
  const to = Math.max(head, 1049);
  say({ push: "gap", room: "general", from: 1042, to });
  answers["history"] = text;
  void room.fillGap({ from: 1042, to });
  await clock.advance(10);
  const shown = room.timeline.get();
  expect(shown.gaps).toEqual([]);
  expect(shown.messages.map(({ seq }) => seq)).toEqual(
    events.filter(({ push }) => push === "message").map(({ seq }) => seq),
  );
});
