// Networks that fail, each in its own way.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { banner, field, pass, saved, shows, unsent, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

const FAILS = /ERR_|Failed to load resource|WebSocket connection|Failed to fetch/;
const DROPS_MS = 20_000;

/** Numbers in [0, 1), the same for the same seed. */
function chances(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Let a network fail in one way after another until the time is over. */
async function trouble(net, chance, endsAt, done) {
  const some = (least, most) => sleep(least + chance() * (most - least));
  const faults = {
    cut: async () => net.cut(),
    async stall() {
      net.stall();
      await some(300, 2_500);
      // What was under way arrives late, or never.
      if (chance() < 0.5) net.cut();
      net.flow();
    },
    async halfOpen() {
      net.stall("down");
      await some(300, 2_000);
      net.cut();
      net.flow();
    },
    async blackhole() {
      net.admit("silent");
      net.cut();
      await some(300, 2_500);
      net.admit("open");
      net.cut();
    },
    async slow() {
      net.slow(4_000);
      await some(500, 1_500);
      net.slow(Infinity);
    },
  };
  const names = Object.keys(faults);
  while (Date.now() < endsAt) {
    await some(200, 1_500);
    const name = names[Math.floor(chance() * names.length)];
    await faults[name]();
    done[name] = (done[name] ?? 0) + 1;
  }
}

scene(
  "two people write while their networks fail, and both logs are complete",
  { expects: FAILS, limitMs: 300_000 },
  async ({ person, network }) => {
    const names = ["Ada", "Ben"];
    const nets = await Promise.all(names.map(() => network()));
    const pages = await Promise.all(names.map((name, n) => person(name, { baseURL: nets[n].url })));
    const endsAt = Date.now() + DROPS_MS;
    const done = {};
    const said = await Promise.all(
      names.flatMap((name, n) => [
        trouble(nets[n], chances(n + 1), endsAt, done),
        (async () => {
          const texts = [];
          const chance = chances(n + 11);
          while (Date.now() < endsAt) {
            const text = `${name} ${texts.length}`;
            texts.push(text);
            await write(pages[n], text);
            await sleep(200 + chance() * 900);
          }
          return texts;
        })(),
      ]),
    );
    const [fromAda, fromBen] = said.filter(Boolean);
    const total = fromAda.length + fromBen.length;
    for (const page of pages) {
      const complete = async () =>
        (await saved(page)).length >= total && (await unsent(page).count()) === 0;
      await until(`${total} messages`, complete, 40_000);
    }
    const logs = await Promise.all(pages.map((page) => saved(page)));
    assert.deepEqual(logs[0], logs[1]);
    for (const [name, texts] of [
      ["Ada", fromAda],
      ["Ben", fromBen],
    ]) {
      assert.deepEqual(
        logs[0].filter((text) => text.startsWith(name)),
        texts,
      );
    }
    assert.equal(logs[0].length, total);
    assert.ok(Object.keys(done).length >= 4, JSON.stringify(done));
  },
);

scene(
  "a half-open connection is found by the heartbeat",
  { expects: FAILS },
  async ({ person, network }) => {
    const net = await network();
    const ada = await person("Ada", { baseURL: net.url, before: (page) => page.clock.install() });
    const ben = await person("Ben");
    await write(ada, "before");
    await shows(ben, ["before"]);
    net.strand();
    await write(ben, "into the void");
    await pass(ada, 24_000);
    assert.deepEqual(await saved(ada), ["before"]);
    assert.equal(await banner(ada).isVisible(), false);
    await pass(ada, 16_000);
    await shows(ada, ["before", "into the void"]);
    await write(ada, "back");
    await shows(ben, ["before", "into the void", "back"]);
  },
);

scene(
  "where WebSockets are blocked, the event stream serves, both ways",
  { expects: FAILS },
  async ({ person, network }) => {
    const net = await network();
    net.refuseWebSockets(true);
    const streams = [];
    const before = (page) =>
      page.on("request", (request) => {
        if (request.url().includes("/stream?")) streams.push(request.url());
      });
    const [ada, ben] = await Promise.all([
      person("Ada", { baseURL: net.url, before }),
      person("Ben"),
    ]);
    await write(ben, "can you read this?");
    await shows(ada, ["can you read this?"]);
    assert.ok(streams.length > 0);
    await write(ada, "I can");
    await write(ada, "and write");
    await shows(ben, ["can you read this?", "I can", "and write"]);
    await shows(ada, ["can you read this?", "I can", "and write"]);
    await banner(ada).waitFor({ state: "hidden" });
  },
);

scene("a slow network delays, and loses nothing", {}, async ({ person, network }) => {
  const net = await network();
  const [ada, ben] = await Promise.all([person("Ada", { baseURL: net.url }), person("Ben")]);
  await ada.getByText("2 here").waitFor();
  net.slow(60);
  await write(ada, "slowly");
  await unsent(ada).getByText("sending…").waitFor();
  await field(ada).pressSequentially("meanwhile");
  net.slow(Infinity);
  await shows(ben, ["slowly"]);
  await shows(ada, ["slowly"]);
  assert.equal(await field(ada).inputValue(), "meanwhile");
});
