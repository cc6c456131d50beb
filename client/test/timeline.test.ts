import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { Log, type LogEvent } from "../src/timeline.js";
import type { Message } from "../src/types.js";
import { FakeRoom } from "./fakes/fake_room.js";
import { ADA, ZOE } from "./fakes/fake_server.js";

function message(seq: number, text = `text ${seq}`, more: object = {}): Message {
  return { room: "general", seq, author: ADA, text, at: "2026-01-01T00:00:00.000Z", ...more };
}

function event(push: string, seq: number, more: object): LogEvent {
  return { push, room: "general", seq, author: ADA, at: "2026-01-01T00:00:00.000Z", ...more };
}

function loaded(...messages: Message[]): Log<any> {
  const log = new Log<any>();
  log.load(messages, messages.at(-1)?.seq ?? 0, "e1", true);
  return log;
}

test("messages are in the order of their seqs, each once", () => {
  const log = loaded(message(5), message(7));
  log.merge([message(3), message(5), message(6), message(9)]);
  expect(log.messages.map(({ seq }) => seq)).toEqual([3, 5, 6, 7, 9]);
});

test("an edit replaces the text, the format and the data", () => {
  const log = loaded(
    message(1, "old", { format: "markdown", data: { old: true }, kind: "x-poll" }),
  );
  log.apply(event("edited", 2, { target: 1, text: "new", data: { new: true } }));
  expect(log.messages).toEqual([
    message(1, "new", { data: { new: true }, kind: "x-poll", edited: 2 }),
  ]);
});

test("an older edit, or one of a message that is deleted or unknown, changes nothing", () => {
  const log = loaded(message(1, "newer", { edited: 9 }), message(2, "", { deleted: true }));
  const before = log.messages;
  log.apply(event("edited", 8, { target: 1, text: "older" }));
  log.apply(event("edited", 10, { target: 2, text: "again" }));
  log.apply(event("edited", 11, { target: 77, text: "whose?" }));
  log.apply(event("deleted", 12, { target: 0 }));
  expect(log.messages).toBe(before);
});

test("a deletion leaves what the server leaves", () => {
  const full = {
    ...{ client_id: "c-1", kind: "x-a", format: "markdown", data: {}, reply_to: 1 },
    ...{ priority: "high", expires_in_ms: 5, edited: 4 },
  };
  const log = loaded(message(3, "secret", full));
  log.apply(event("deleted", 5, { target: 3 }));
  expect(log.messages).toEqual([{ ...message(3, ""), client_id: "c-1", edited: 4, deleted: true }]);
});

test("of two versions of a message the later one stays", () => {
  const log = loaded(message(1, "third", { edited: 5 }), message(2, "", { deleted: true }));
  log.merge([message(1, "second", { edited: 3 }), message(2, "was here")]);
  expect(log.messages.map(({ text }) => text)).toEqual(["third", ""]);
  log.merge([message(1, "fourth", { edited: 7 })]);
  expect(log.messages[0]!.text).toBe("fourth");
});

test("an array that somebody has is never changed, and without a change it is the same", () => {
  const log = loaded(message(1));
  const first = log.messages;
  expect(log.messages).toBe(first);
  log.apply(event("message", 2, { text: "two" }));
  expect(first).toHaveLength(1);
  expect(log.messages).toHaveLength(2);
});

test("a burst copies the messages once", () => {
  const log = new Log<any>();
  log.load(
    Array.from({ length: 1_000 }, (_, index) => message(index + 1)),
    1_000,
    "e1",
    true,
  );
  const shown = log.messages;
  const arrays = new Set<unknown>();
  for (let seq = 1_001; seq <= 1_100; seq++) {
    log.apply(event("message", seq, { text: "new" }));
    arrays.add(Reflect.get(log, "_messages"));
  }
  expect(arrays.size).toBe(1);
  expect(shown).toHaveLength(1_000);
});

test("gaps are filled from their beginning, and forgotten with what lies before the oldest", () => {
  const log = loaded(message(1), message(40));
  log.gap(10, 20);
  log.gap(30, 30);
  log.fill({ from: 10, to: 20 }, 14);
  expect(log.gaps).toEqual([
    { from: 15, to: 20 },
    { from: 30, to: 30 },
  ]);
  log.fill({ from: 15, to: 20 }, 20);
  expect(log.gaps).toEqual([{ from: 30, to: 30 }]);
  log.trim(1);
  expect(log.gaps).toEqual([]);
  expect(log).toMatchObject({ oldest: 40, hasOlder: true });
});

test("an event of a kind that is new changes no message", () => {
  const log = loaded(message(1));
  const before = log.messages;
  log.apply(event("poll_closed", 2, { winner: "tea" }));
  expect(log.messages).toBe(before);
});

test("unread are those of others after the mark, a hundred at most", () => {
  const log = loaded(message(1), message(2), { ...message(3), author: ZOE });
  expect(log.unread(0, ZOE.id)).toBe(2);
  expect(log.unread(1, ZOE.id)).toBe(1);
  log.merge(Array.from({ length: 150 }, (_, index) => message(index + 4)));
  expect(log.unread(0, ZOE.id)).toBe(100);
});

test("whatever page one begins with, the events after it make of it what the log says", () => {
  const acts = fc.array(fc.record({ what: fc.nat(4), pick: fc.nat(50) }), { maxLength: 60 });
  fc.assert(
    fc.property(acts, fc.nat(60), fc.nat(60), (all, loadedAt, pageAt) => {
      const room = new FakeRoom("general");
      const log = new Log<any>();
      const late: Message[] = [];
      all.forEach(({ what, pick }, index) => {
        const target = (pick % (room.head + 1)) + 1;
        const known = room.log[target - 1];
        const isThere = known?.push === "message" && !room.now(known)["deleted"];
        if (what < 3 || !isThere) room.add({ push: "message", author: ADA, text: `m ${index}` });
        else if (what === 3) room.add({ push: "edited", author: ADA, target, text: `e ${index}` });
        else room.add({ push: "deleted", author: ADA, target });
        if (index === loadedAt) log.load(room.messages().slice(-5), room.head, "e1", true);
        // A page that is read while events are on their way says more than they do.
        if (index === pageAt) late.push(...room.messages());
      });
      if (!log.epoch) return;
      for (const each of room.log.slice(log.seq)) {
        // As it was when it was pushed: without what became of it.
        log.apply({ room: "general", ...each });
      }
      log.merge(late.filter(({ seq }) => seq >= (log.oldest ?? 0)));
      const bare = ({ edited, ...rest }: Message): object =>
        rest.deleted ? rest : { edited, ...rest };
      const expected = room.messages().filter(({ seq }) => seq >= (log.oldest ?? Infinity));
      expect(log.messages.map(bare)).toEqual(expected.map(bare));
    }),
  );
});

// --- messages that grow ---

const open = (text: string, more: object = {}): Message =>
  message(1, text, { open: true, ...more });
const part = (at: number, text: string, seq = 1) => ({ seq, at, text });

test("parts make a text, by code points, whatever is lost, doubled or overlaps", () => {
  const log = loaded(open(""));
  const shown = (): string => log.messages[0]!.text;
  const steps: [number, string, string][] = [
    [0, "a👋", "a👋"],
    [2, "é𝒳z", "a👋é𝒳z"],
    [2, "é𝒳z", "a👋é𝒳z"], // twice
    [0, "a👋", "a👋é𝒳z"], // late
    [9, "lost before", "a👋é𝒳z"], // a hole
    [3, "𝒳zu👋", "a👋é𝒳zu👋"], // it overlaps
    [4, "Z", "a👋é𝒳Z"], // it is another text from there on
    [5, "", "a👋é𝒳Z"],
    [0, "b", "b"],
    [1, "c", "bc"],
  ];
  for (const [at, text, expected] of steps) {
    expect(log.grow(part(at, text))).toBe(true);
    expect(shown()).toBe(expected);
  }
});

test("a part of a message that is to come waits, one of none or of an ended one is nothing", () => {
  const log = loaded(message(1), message(3, "gone", { deleted: true }));
  const before = log.messages;
  expect(log.grow(part(0, "x", 4))).toBe(false);
  for (const seq of [1, 2, 3]) expect(log.grow(part(0, "x", seq))).toBe(true);
  expect(log.messages).toBe(before);
});

test("a part of nothing new changes nothing, one that is new leaves all other messages as they are", () => {
  const log = loaded(open("abc"), message(2));
  const before = log.messages;
  log.grow(part(1, "b"));
  log.grow(part(3, ""));
  log.grow(part(7, "x"));
  expect(log.messages).toBe(before);
  log.grow(part(3, "d"));
  expect(log.messages).not.toBe(before);
  expect(log.messages[0]).toEqual(open("abcd"));
  expect(log.messages[1]).toBe(before[1]);
});

test("the end of growth is no edit, and says how it ended", () => {
  const end = { target: 1, text: "whole", format: "markdown" };
  for (const [state, expected] of [
    ["done", {}],
    ["cut", { state: "cut" }],
    ["cancelled", { state: "cancelled" }],
  ] as const) {
    const log = loaded(open("who"));
    log.apply(event("edited", 2, { ...end, state }));
    expect(log.messages).toEqual([message(1, "whole", { format: "markdown", ...expected })]);
    log.grow(part(3, "late"));
    expect(log.messages[0]!.text).toBe("whole");
    // Whoever edits it later has edited it.
    log.apply(event("edited", 3, { target: 1, text: "better" }));
    expect(log.messages[0]).toMatchObject({ text: "better", edited: 3, ...expected });
    log.apply(event("edited", 2, { ...end, state }));
    expect(log.messages[0]!.text).toBe("better");
  }
});

test("a deletion leaves nothing of the growth", () => {
  const log = loaded(open("who"), message(2, "cut", { state: "cut" }));
  log.apply(event("deleted", 3, { target: 1 }));
  log.apply(event("deleted", 4, { target: 2 }));
  expect(log.messages).toEqual([
    message(1, "", { deleted: true }),
    message(2, "", { deleted: true }),
  ]);
});

test("a page that is behind takes nothing away of a text that grows, nor opens it again", () => {
  const log = loaded(open("abc"));
  log.merge([open("ab")]);
  expect(log.messages[0]!.text).toBe("abc");
  log.merge([open("abcd")]);
  expect(log.messages[0]!.text).toBe("abcd");
  log.grow(part(4, "e")); // counted anew
  expect(log.messages[0]!.text).toBe("abcde");
  log.merge([message(1, "ab", { state: "cut" })]);
  log.merge([open("abcdefgh")]);
  expect(log.messages).toEqual([message(1, "ab", { state: "cut" })]);
});

test("a long text is not counted again for each part", () => {
  const log = loaded(open("x".repeat(1_000_000)));
  log.grow(part(1_000_000, "y"));
  const charCodeAt = vi.spyOn(String.prototype, "charCodeAt");
  for (let n = 1; n <= 100; n++) log.grow(part(1_000_000 + n, "y"));
  expect(charCodeAt.mock.calls.length).toBeLessThan(1_000);
  charCodeAt.mockRestore();
  expect(log.messages[0]!.text).toHaveLength(1_000_101);
});

test("whatever becomes of the parts, the text is always one that was, and at the end the author's", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 6 });
  const fate = fc.record({ text, lost: fc.boolean(), twice: fc.boolean(), overlap: fc.nat(8) });
  fc.assert(
    fc.property(fc.array(fate, { maxLength: 30 }), (fates) => {
      const log = loaded(open(""));
      const whole: string[] = [];
      for (const { text: more, lost, twice, overlap } of fates) {
        const at = Math.max(0, whole.length - overlap);
        whole.push(...Array.from(more));
        const told = part(at, whole.slice(at).join(""));
        if (!lost) log.grow(told);
        if (twice) log.grow(told);
        const shown = log.messages[0]!.text;
        expect(whole.join("").startsWith(shown)).toBe(true);
      }
      log.grow(part(0, whole.join("")));
      expect(log.messages[0]!.text).toBe(whole.join(""));
    }),
  );
});
