import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createEventReader } from "../src/event_reader.js";

function read(...pieces: string[]): { events: string[]; retries: number[] } {
  const retries: number[] = [];
  const reader = createEventReader((ms) => retries.push(ms));
  return { events: pieces.flatMap((piece) => reader(piece)), retries };
}

describe("event reader", () => {
  it("reads what the server sends", () => {
    const text =
      'retry: 2417\n\nevent: welcome\ndata: {"push":"welcome"}\nid: 9f-1\n\n: heartbeat\n\ndata:{"a":1}\n\n';
    expect(read(text)).toEqual({ events: ['{"push":"welcome"}', '{"a":1}'], retries: [2417] });
  });

  it("joins lines of data, and keeps all but one space", () => {
    expect(read("data: a\ndata:  b\ndata\n\n").events).toEqual(["a\n b\n"]);
  });

  it("says nothing of an event before the empty line", () => {
    expect(read("data: a\n").events).toEqual([]);
    expect(read("data: a").events).toEqual([]);
  });

  it("takes only digits for a time to come back", () => {
    expect(read("retry: soon\nretry: -5\nretry: 7\n\n").retries).toEqual([7]);
  });

  it("ends lines at CR, LF and CRLF", () => {
    expect(read("data: a\r\n\r\ndata: b\r\rdata: c\n\n").events).toEqual(["a", "b", "c"]);
  });

  it("takes a CRLF that was torn apart for one end", () => {
    expect(read("data: a\r", "\ndata: b\r", "", "\n\r", "\n").events).toEqual(["a\nb"]);
  });

  it("reads the same in any pieces, also through UTF-8 that was torn apart", () => {
    const line = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, "")),
      fc.constantFrom("Zoë", "👩‍👩‍👧", "漢字", ""),
    );
    const end = fc.constantFrom("\n", "\r\n", "\r");
    fc.assert(
      fc.property(
        fc.array(fc.array(line, { minLength: 1, maxLength: 3 }), { maxLength: 6 }),
        end,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 50 }),
        (events, eol, sizes) => {
          const text = events
            .map((lines) => lines.map((each) => `data: ${each}${eol}`).join("") + eol)
            .join(`: heartbeat${eol}${eol}`);
          const bytes = new TextEncoder().encode(text);
          const decoder = new TextDecoder();
          const pieces: string[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length]!;
            pieces.push(decoder.decode(bytes.subarray(at, at + size), { stream: true }));
            at += size;
          }
          expect(read(...pieces).events).toEqual(events.map((lines) => lines.join("\n")));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("refuses an event without end, in one line or in many", () => {
    const reader = createEventReader(() => undefined);
    const piece = "x".repeat(1024 * 1024);
    const endless = (text: string) => () => {
      for (let i = 0; i < 6; i++) reader(text);
    };
    expect(endless(piece)).toThrow("without end");
    expect(endless(`data: ${piece}\n`)).toThrow("without end");
  });

  it("counts each event by itself", () => {
    const reader = createEventReader(() => undefined);
    const event = `data: ${"x".repeat(1024 * 1024)}\n\n`;
    for (let i = 0; i < 6; i++) expect(reader(event)).toHaveLength(1);
  });
});
