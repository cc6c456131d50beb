import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { grow, type Growing } from "../src/grow.js";
import type { Draft } from "../src/types.js";
import { FakeClock } from "./fakes/fake_clock.js";
import { ADA, FakeServer, POLICIES } from "./fakes/fake_server.js";
import { openPage, seeded, texts, type Page } from "./fakes/page.js";

type Options = Omit<Draft, "text" | "open">;

async function growing(
  options: Options = {},
  on: Partial<Page> = {},
): Promise<{ page: Page; out: Growing }> {
  const page = openPage({ rooms: ["general"] }, on);
  await page.clock.advance(500);
  const begun = grow(page.client, "general", options);
  await page.clock.advance(50);
  return { page, out: await begun };
}

const appends = (page: Page): Record<string, any>[] =>
  page.server.commands.filter(({ cmd }) => cmd === "append");
const shown = (page: Page) => page.client.room("general").timeline.get().messages;

test("it begins empty, grows, and ends whole", async () => {
  const { page, out } = await growing({ format: "markdown", reply_to: 7 });
  const seq = out.seq;
  expect(shown(page)).toMatchObject([
    { seq, text: "", open: true, format: "markdown", reply_to: 7 },
  ]);
  out.write("Hel");
  out.write("lo");
  await page.clock.advance(50);
  expect(shown(page)[0]).toMatchObject({ text: "Hello", open: true });
  out.write(" there.");
  const done = out.done();
  await page.clock.advance(200);
  await expect(done).resolves.toBeUndefined();
  expect(shown(page)).toMatchObject([{ seq, text: "Hello there.", format: "markdown" }]);
  expect(shown(page)[0]!.open).toBeUndefined();
  expect(appends(page).at(-1)).toMatchObject({ at: 5, text: " there.", state: "done" });
  expect(out.signal.aborted).toBe(false);
  // What comes later is nothing.
  out.write("more");
  await out.cut();
  await page.clock.advance(500);
  expect(shown(page)[0]!.text).toBe("Hello there.");
});

test("what is written often is said ten times a second at most", async () => {
  const { page, out } = await growing();
  for (let n = 0; n < 1_000; n++) {
    out.write("word ");
    await page.clock.advance(5);
  }
  expect(appends(page).length).toBeGreaterThan(40);
  expect(appends(page).length).toBeLessThanOrEqual(51);
  void out.done();
  await page.clock.advance(300);
  expect(texts(page.client, "general")).toEqual(["word ".repeat(1_000)]);
});

test("nor faster than the server takes it", async () => {
  const clock = new FakeClock();
  const policies = {
    ...POLICIES,
    append: { burst: 1, perSecond: 0.5, key: "connection" as const },
  };
  const { page, out } = await growing({}, { clock, server: new FakeServer(clock, policies) });
  for (let n = 0; n < 200; n++) {
    out.write("x");
    await page.clock.advance(50);
  }
  expect(appends(page).length).toBeLessThanOrEqual(6);
  void out.done();
  await page.clock.advance(10_000);
  expect(texts(page.client, "general")).toEqual(["x".repeat(200)]);
  expect(shown(page)[0]!.open).toBeUndefined();
});

test("a character that comes in halves is said as one", async () => {
  const { page, out } = await growing();
  const [high, low] = ["👋"[0]!, "👋"[1]!];
  out.write(`a${high}`);
  await page.clock.advance(300);
  expect(texts(page.client, "general")).toEqual(["a"]);
  out.write(`${low}b${high}`);
  await page.clock.advance(300);
  expect(texts(page.client, "general")).toEqual(["a👋b"]);
  void out.done();
  await page.clock.advance(300);
  expect(texts(page.client, "general")).toEqual(["a👋b\ufffd"]);
});

test("a long text goes in several parts, and the last one ends it", async () => {
  const { page, out } = await growing();
  const long = "é👋\n".repeat(1_500);
  out.write(long);
  const done = out.done();
  await page.clock.advance(5_000);
  await done;
  expect(texts(page.client, "general")).toEqual([long]);
  expect(appends(page).map(({ state }) => state)).toEqual([
    ...appends(page)
      .slice(1)
      .map(() => undefined),
    "done",
  ]);
});

test("an answer that breaks off says so, also where it has no text", async () => {
  const { page, out } = await growing();
  void out.cut();
  await page.clock.advance(50);
  expect(shown(page)).toMatchObject([{ text: "", state: "cut" }]);
});

test("after a reconnection it goes on where it was", async () => {
  const { page, out } = await growing();
  out.write("one ");
  await page.clock.advance(200);
  page.server.drop();
  out.write("two ");
  await page.clock.advance(50);
  out.write("three");
  const done = out.done();
  await page.clock.advance(5_000);
  await done;
  expect(texts(page.client, "general")).toEqual(["one two three"]);
});

test("a silent one says that it is there", async () => {
  const { page, out } = await growing();
  out.write("so far");
  await page.clock.advance(9_500);
  expect(appends(page)).toHaveLength(1);
  await page.clock.advance(60_000);
  const said = appends(page).slice(1);
  expect(said.length).toBeGreaterThanOrEqual(5);
  expect(said.length).toBeLessThanOrEqual(7);
  for (const each of said) expect(each).toMatchObject({ at: 6, text: "" });
  void out.done();
  await page.clock.advance(500);
  const all = appends(page).length;
  await page.clock.advance(60_000);
  expect(appends(page)).toHaveLength(all);
  page.client.close();
  expect(page.clock.pending).toBe(0);
});

test("also on a new connection, where it learns at once what the server has lost", async () => {
  const { page, out } = await growing();
  out.write("so far");
  await page.clock.advance(500);
  page.server.drop();
  page.server.room("general").growing.get(out.seq)!.text = "so";
  await page.clock.advance(5_000);
  expect(appends(page).slice(1)).toMatchObject([
    { at: 6, text: "" },
    { at: 2, text: " far" },
  ]);
  expect(page.server.room("general").growing.get(out.seq)!.text).toBe("so far");
  // Ended unseen, as by a process that nobody heard.
  page.server.room("general").growing.delete(out.seq);
  await page.clock.advance(11_000);
  expect(out.signal.reason).toMatchObject({ code: "not_growing" });
});

test("a part whose answer was lost is no part twice, and an end none that failed", async () => {
  const { page, out } = await growing();
  for (const last of [false, true]) {
    // It arrives, and the connection breaks before its answer does.
    page.server.refuse = ({ cmd }) => {
      if (cmd === "append") queueMicrotask(() => page.server.drop());
      return undefined;
    };
    out.write("part ");
    const done = last && out.done();
    await page.clock.advance(20);
    page.server.refuse = () => undefined;
    await page.clock.advance(5_000);
    await done;
  }
  expect(texts(page.client, "general")).toEqual(["part part "]);
  expect(out.signal.aborted).toBe(false);
});

test("where the server has lost some, it is said again", async () => {
  const { page, out } = await growing();
  out.write("é👋 all of this");
  await page.clock.advance(200);
  page.server.room("general").growing.get(out.seq)!.text = "é👋";
  out.write(" and that");
  void out.done();
  await page.clock.advance(1_000);
  expect(texts(page.client, "general")).toEqual(["é👋 all of this and that"]);
});

test("whoever stops it stops the writing", async () => {
  const { page, out } = await growing();
  const aborted = vi.fn<() => void>();
  out.signal.addEventListener("abort", aborted);
  out.write("so ");
  await page.clock.advance(200);
  page.server.finish("general", out.seq, "cancelled");
  await page.clock.advance(20);
  expect(aborted).toHaveBeenCalledOnce();
  expect(out.signal.reason).toMatchObject({ code: "not_growing" });
  const before = appends(page).length;
  out.write("much more");
  await expect(out.done()).rejects.toMatchObject({ code: "not_growing" });
  await page.clock.advance(1_000);
  expect(appends(page).length - before).toBeLessThanOrEqual(1);
  expect(shown(page)).toMatchObject([{ text: "so ", state: "cancelled" }]);
});

test("others' ends are none of its business", async () => {
  const { page, out } = await growing();
  const other = page.server.begin("general");
  page.server.finish("general", other.seq, "cut");
  page.server.erase("general", other.seq);
  page.server.edit("general", other.seq, "x");
  await page.clock.advance(50);
  expect(out.signal.aborted).toBe(false);
});

test("a deletion stops it, and so does a refusal, of which the rest is cut", async () => {
  const first = await growing();
  first.page.server.erase("general", first.out.seq);
  await first.page.clock.advance(20);
  expect(first.out.signal.aborted).toBe(true);

  const { page, out } = await growing();
  page.server.refuse = ({ cmd, text }) =>
    cmd === "append" && text ? { code: "too_large" } : undefined;
  out.write("far too much");
  await page.clock.advance(200);
  expect(out.signal.reason).toMatchObject({ code: "too_large" });
  expect(shown(page)).toMatchObject([{ text: "", state: "cut" }]);
});

test("what cannot begin says why", async () => {
  const page = openPage({ rooms: ["general"] });
  page.server.refuse = ({ cmd }) => (cmd === "send" ? { code: "muted" } : undefined);
  const begun = grow(page.client, "general");
  const said = expect(begun).rejects.toMatchObject({ code: "muted" });
  await page.clock.advance(500);
  await said;
});

test("a client that is closed ends it", async () => {
  const { page, out } = await growing();
  page.client.close();
  out.write("x");
  await page.clock.advance(1_000);
  await expect(out.done()).rejects.toMatchObject({ code: expect.stringMatching(/closed|lost/) });
});

test("whatever the network does, the text is in the log as it was written", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ write: fc.string({ unit: "binary", maxLength: 9 }) }) },
    { weight: 6, arbitrary: fc.record({ waitMs: fc.nat(400) }) },
    fc.record({ drop: fc.constantFrom(1006, 1012) }),
    fc.record({ loses: fc.nat(10) }),
    fc.record({ refuse: fc.constantFrom("rate_limited", "unavailable") }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(), async (steps, seed) => {
      const page = openPage({ rooms: ["general"], random: seeded(seed) });
      await page.clock.advance(500);
      const begun = grow(page.client, "general");
      await page.clock.advance(50);
      const out = await begun;
      page.server.say("general", "in between", ADA);
      let whole = "";
      let faults = 3; // of the server; at a fourth in a row it is given up
      for (const each of steps) {
        if ("write" in each) {
          // What no JSON that the server takes can say is another character there.
          whole += each.write.replaceAll("\0", "\ufffd");
          out.write(each.write);
        } else if ("waitMs" in each) await page.clock.advance(each.waitMs);
        else if ("drop" in each) page.server.drop(each.drop);
        else if ("refuse" in each) {
          let times = 2;
          page.server.refuse = ({ cmd }) => {
            if (cmd !== "append" || times-- <= 0) return undefined;
            if (each.refuse === "unavailable" && faults-- <= 0) return undefined;
            return { code: each.refuse, policy: "append", retry_after_ms: 300 };
          };
        } else {
          // It was killed, and has no more than what it had saved.
          const growth = page.server.room("general").growing.get(out.seq)!;
          growth.text = Array.from(growth.text)
            .slice(0, -each.loses || undefined)
            .join("");
        }
      }
      const done = out.done();
      await page.clock.advance(60_000);
      await done;
      expect(page.server.room("general").messages()[0]).toMatchObject({ text: whole });
      expect(texts(page.client, "general")[0]).toBe(whole);
      page.client.close();
    }),
    { numRuns: 150 },
  );
}, 60_000);
