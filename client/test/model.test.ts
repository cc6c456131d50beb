// Whatever happens between the client and the server: in the end each message is in the
// log once, in the order in which it was said, and what is shown is what the log says.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Message, SendHandle } from "../src/types.js";
import { ADA, ZOE } from "./fakes/fake_server.js";
import { openPage, seeded, type Page } from "./fakes/page.js";

const ROOMS = ["one", "two"];
const REFUSALS = ["overloaded", "unavailable", "internal", "rate_limited", "forbidden"] as const;

const WORDS = ["tea", " 👋", "é𝒳", "\n- "];
const ENDS = ["done", "cut", "cancelled"] as const;

type Step =
  | { do: "send"; room: string }
  | { do: "others"; room: string; what: "say" | "edit" | "erase"; pick: number }
  | { do: "change"; room: string; pick: number; how: "edit" | "delete" }
  | { do: "wait"; ms: number }
  | { do: "sleep"; ms: number }
  | { do: "drop"; code: number }
  | { do: "down"; down: boolean }
  | { do: "refuse"; code: (typeof REFUSALS)[number]; times: number; hint: number | undefined }
  | { do: "slow"; ms: number }
  | { do: "leave out"; events: number }
  | { do: "epoch"; room: string }
  | { do: "resume limit"; events: number }
  | { do: "noise"; doubles: boolean; late: boolean; loses: boolean }
  | { do: "grow"; room: string; what: "begin" | "add" | "save" | "end" | "stop"; pick: number }
  | { do: "page"; event: "online" | "offline" | "visible" | "hidden" | "suspend" | "resume" }
  | { do: "retry" }
  | { do: "discard"; pick: number }
  | { do: "older"; room: string }
  | { do: "watch"; room: string; on: boolean };

const room = fc.constantFrom(...ROOMS);
const pick = fc.nat(1000);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("send" as const), room }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant("others" as const), room, pick },
      what: fc.constantFrom("say" as const, "say" as const, "edit" as const, "erase" as const),
    }),
  },
  fc.record({
    ...{ do: fc.constant("change" as const), room, pick },
    how: fc.constantFrom("edit" as const, "delete" as const),
  }),
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.oneof(fc.nat(30), fc.nat(30), fc.nat(2_000), fc.nat(60_000)),
    }),
  },
  fc.record({ do: fc.constant("sleep" as const), ms: fc.nat(700_000) }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("drop" as const),
      code: fc.constantFrom(1006, 1012, 4008),
    }),
  },
  fc.record({ do: fc.constant("down" as const), down: fc.boolean() }),
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant("refuse" as const), code: fc.constantFrom(...REFUSALS) },
      ...{
        times: fc.integer({ min: 1, max: 6 }),
        hint: fc.option(fc.nat(3_000), { nil: undefined }),
      },
    }),
  },
  fc.record({ do: fc.constant("slow" as const), ms: fc.constantFrom(0, 1_000, 30_000) }),
  fc.record({ do: fc.constant("leave out" as const), events: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ do: fc.constant("epoch" as const), room }),
  fc.record({ do: fc.constant("resume limit" as const), events: fc.constantFrom(0, 2, 10_000) }),
  fc.record({
    ...{ do: fc.constant("noise" as const), doubles: fc.boolean() },
    ...{ late: fc.boolean(), loses: fc.boolean() },
  }),
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ do: fc.constant("grow" as const), room, pick },
      what: fc.constantFrom(
        ...(["begin", "add", "add", "add", "add", "save", "end", "stop"] as const),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("page" as const),
      event: fc.constantFrom(
        ...(["online", "offline", "visible", "hidden", "suspend", "resume"] as const),
      ),
    }),
  },
  fc.record({ do: fc.constant("retry" as const) }),
  fc.record({ do: fc.constant("discard" as const), pick }),
  fc.record({ do: fc.constant("older" as const), room }),
  fc.record({ do: fc.constant("watch" as const), room, on: fc.boolean() }),
);

interface Said {
  readonly room: string;
  readonly text: string;
  readonly handle: SendHandle;
  isDiscarded: boolean;
}

class Run {
  readonly said: Said[] = [];
  private readonly random = seeded(7);
  private refusing: { code: string; times: number; hint: number | undefined } | null = null;
  private leavingOut = 0;

  constructor(readonly page: Page) {
    const { server } = page;
    server.refuse = (command) => {
      const refusing = this.refusing;
      if (!refusing || command.cmd === "ping") return undefined;
      if (refusing.code === "forbidden" && command.cmd !== "send") return undefined;
      if (--refusing.times <= 0) this.refusing = null;
      const { code, hint } = refusing;
      if (code === "forbidden") return { code };
      if (code === "rate_limited") return { code, policy: "send", retry_after_ms: hint ?? 8 };
      return { code, ...(hint === undefined ? {} : { retry_after_ms: hint + 1 }) };
    };
    server.leavesOut = () => this.leavingOut-- > 0;
  }

  async do(step: Step): Promise<void> {
    const { server, client, clock, lifecycle } = this.page;
    switch (step.do) {
      case "send": {
        const text = `said ${this.said.length}`;
        try {
          const handle = client.room(step.room).send(text);
          this.said.push({ room: step.room, text, handle, isDiscarded: false });
        } catch (error) {
          expect(error).toMatchObject({ code: "outbox_full" });
        }
        return;
      }
      case "others": {
        const target = server.room(step.room).log[step.pick % (server.room(step.room).head + 1)];
        if (step.what === "say") server.say(step.room, `other ${step.pick}`);
        else if (target?.push !== "message" || server.room(step.room).now(target)["deleted"])
          return;
        else if (step.what === "erase") server.erase(step.room, target.seq);
        else if (!server.room(step.room).growing.has(target.seq)) {
          server.edit(step.room, target.seq, `edit ${step.pick}`);
        }
        return;
      }
      case "change": {
        const target = server.room(step.room).log[step.pick % (server.room(step.room).head + 1)];
        if (target?.push !== "message" || target.author.id !== ZOE.id) return;
        const own = client.room(step.room);
        const done = step.how === "edit" ? own.edit(target.seq, "better") : own.delete(target.seq);
        done.catch(() => undefined);
        return;
      }
      case "wait":
        return clock.advance(step.ms);
      case "sleep":
        return clock.sleep(step.ms);
      case "drop":
        return server.drop(step.code);
      case "down":
        server.down = step.down;
        return;
      case "refuse":
        this.refusing = { ...step };
        return;
      case "slow":
        return server.slowMode("one", step.ms);
      case "leave out":
        this.leavingOut = step.events;
        return;
      case "epoch":
        return server.newEpoch(step.room, `e${this.random()}`);
      case "resume limit":
        server.resumeLimit = step.events;
        return;
      case "noise":
        server.doubles = () => step.doubles && this.random() < 0.3;
        server.late = () => (step.late && this.random() < 0.3 ? this.random() * 800 : 0);
        server.losesParts = () => step.loses && this.random() < 0.3;
        return;
      case "grow": {
        const { growing } = server.room(step.room);
        if (step.what === "begin") return void server.begin(step.room);
        const [seq, growth] = [...growing][step.pick % Math.max(1, growing.size)] ?? [];
        if (seq === undefined) return;
        if (step.what === "add") server.grow(step.room, seq, WORDS[step.pick % 4]!, step.pick % 5);
        else if (step.what === "save") growth!.saved = growth!.text;
        else if (step.what === "end") server.finish(step.room, seq, ENDS[step.pick % 3]);
        else
          client
            .room(step.room)
            .cancel(seq)
            .catch(() => undefined);
        return;
      }
      case "page":
        return lifecycle.emit(step.event);
      case "retry":
        for (const failed of this.failed()) client.room(failed.room).retry(failed.client_id);
        return;
      case "discard": {
        const unsent = client.outbox.get();
        const one = unsent[step.pick % Math.max(1, unsent.length)];
        if (one) this.discard(one.room, one.client_id);
        return;
      }
      case "older":
        client
          .room(step.room)
          .loadOlder()
          .catch(() => undefined);
        return;
      case "watch":
        if (step.on) client.room(step.room).join();
        else client.room(step.room).leave();
    }
  }

  /** At no time more is shown of what grows than its author has said, nor anything else. */
  look(): void {
    for (const name of ROOMS) {
      const { growing, epoch } = this.page.server.room(name);
      const shown = this.page.client.room(name).timeline.get();
      for (const { seq, text, open } of shown.messages) {
        const growth = growing.get(seq);
        if (open && growth && shown.epoch === epoch)
          expect(growth.text.startsWith(text)).toBe(true);
      }
    }
  }

  private failed() {
    return this.page.client.outbox.get().filter(({ status }) => status === "failed");
  }

  private discard(name: string, client_id: string): void {
    const given = this.page.client.room(name).discard(client_id);
    const said = this.said.find(({ handle }) => handle.client_id === client_id)!;
    expect(given?.text).toBe(said.text);
    said.isDiscarded = true;
  }

  /** The network is good, and there is time. */
  async heal(): Promise<void> {
    const { server, client, clock, lifecycle } = this.page;
    this.refusing = null;
    this.leavingOut = 0;
    Object.assign(server, {
      down: false,
      resumeLimit: 10_000,
      doubles: () => false,
      late: () => 0,
      losesParts: () => false,
    });
    for (const name of ROOMS) {
      for (const seq of server.room(name).growing.keys()) server.finish(name, seq);
    }
    server.slowMode("one", 0);
    for (const event of ["online", "resume", "visible"] as const) lifecycle.emit(event);
    for (const name of ROOMS) client.room(name).join();
    for (let round = 0; round < 60 && (round < 3 || client.outbox.get().length); round++) {
      for (const { room, client_id } of this.failed()) client.room(room).retry(client_id);
      await clock.advance(20_000);
    }
    // The next event shows what is missing.
    for (const name of ROOMS) server.say(name, "the end");
    await clock.advance(60_000);
    for (const name of ROOMS) {
      const { timeline } = client.room(name);
      const filled = timeline.get().gaps.map((gap) => client.room(name).fillGap(gap));
      await Promise.all([...filled, clock.advance(60_000)]);
    }
  }

  async check(): Promise<void> {
    const { server, client } = this.page;
    expect(client.outbox.get()).toEqual([]);
    for (const name of ROOMS) {
      const log = server.room(name).log.filter(({ author }) => author.id === ZOE.id);
      const ids = log.filter(({ push }) => push === "message").map((event) => event.client_id);
      expect(new Set(ids).size, "each once").toBe(ids.length);
      const mine = this.said.filter((said) => said.room === name);
      const expected = mine
        .filter((said) => !said.isDiscarded)
        .map((said) => said.handle.client_id);
      const discarded = new Set(
        mine.filter((said) => said.isDiscarded).map((s) => s.handle.client_id),
      );
      expect(
        ids.filter((id) => !discarded.has(id!)),
        "all of them, in order",
      ).toEqual(expected);
      const shown = client.room(name).timeline.get();
      // Of what is deleted, nobody is shown that it was edited before.
      const bare = (message: Message): object => ({
        ...message,
        edited: message.deleted ? undefined : message.edited,
      });
      const all = server.room(name).messages().map(bare);
      expect(shown).toMatchObject({ status: "live", gaps: [], head: server.room(name).head });
      expect(shown.messages.length).toBeGreaterThanOrEqual(Math.min(50, all.length));
      expect(shown.messages.map(bare), "what the log says").toEqual(
        all.slice(-shown.messages.length),
      );
      if (!shown.hasOlder) expect(shown.messages).toHaveLength(all.length);
    }
    for (const { handle, room } of this.said) {
      const saved = server.room(room).find(ZOE, handle.client_id);
      const outcome = await handle.sent.catch((error: unknown) => error as { code: string });
      if ("seq" in outcome) expect(outcome.seq).toBe(saved?.seq);
      else
        expect(outcome.code).toMatch(
          /^(discarded|expired|forbidden|overloaded|unavailable|internal)$/,
        );
    }
  }
}

test("each message is in the log once and in order, and the timeline is the log", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: "max" }),
      fc.nat(),
      async (steps, seed) => {
        const page = openPage({ rooms: ROOMS, random: seeded(seed) });
        for (const name of ROOMS) page.server.say(name, "the beginning", ADA);
        const run = new Run(page);
        for (const each of steps) {
          await run.do(each);
          run.look();
        }
        await run.heal();
        await run.check();
        page.client.close();
        await page.clock.advance(1_000);
        expect(page.server.sockets.live).toEqual([]);
      },
    ),
    { numRuns: Number(process.env["MODEL_RUNS"] ?? 150) },
  );
}, 120_000);
