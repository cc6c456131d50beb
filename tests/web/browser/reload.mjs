// A page that is loaded again, put aside or hidden, and the same person in many tabs.

import assert from "node:assert/strict";
import {
  announced,
  field,
  hide,
  listen,
  pass,
  rows,
  saved,
  shows,
  unsent,
  until,
  write,
} from "./page.mjs";
import { scene } from "./scene.mjs";

/** A way to the server that can be shut: what is open then ends, and nothing opens. */
function door() {
  const open = new Set();
  const gate = { isShut: false, dials: 0 };
  gate.before = (page) =>
    page.routeWebSocket(/\/ws\/chat\//, (client) => {
      gate.dials += 1;
      if (gate.isShut) return void client.close({ code: 1012 });
      client.connectToServer();
      open.add(client);
    });
  gate.shut = () => {
    gate.isShut = true;
    for (const client of open) client.close({ code: 1012 }).catch(() => {}); // gone already
    open.clear();
  };
  return gate;
}

for (const who of ["Ada", "Zoë, a guest"]) {
  scene(`a reload keeps what ${who} wrote and did not send`, {}, async ({ person }) => {
    const gate = door();
    const ada = await person(who, { before: gate.before });
    await write(ada, "first");
    await shows(ada, ["first"]);
    gate.shut();
    await write(ada, "second");
    await write(ada, "third");
    await unsent(ada).getByText("third").waitFor();
    await field(ada).fill("fourth");
    await ada.reload();
    gate.isShut = false;
    // As soon as it is known whose.
    await until("the draft", async () => (await field(ada).inputValue()) === "fourth");
    await shows(ada, ["first", "second", "third"]);
    // One person all the while: their messages follow one another.
    assert.equal(
      await rows(ada)
        .filter({ has: ada.getByText("you", { exact: true }) })
        .count(),
      3,
    );
    await ada.reload();
    await shows(ada, ["first", "second", "third"]);
    assert.equal(await field(ada).inputValue(), "fourth");
  });
}

scene(
  "a message that was saved but not acknowledged survives a reload once",
  {},
  async ({ person }) => {
    let loads = 0;
    let sends = 0;
    const before = (page) => {
      page.on("load", () => {
        loads += 1;
      });
      return page.routeWebSocket(/\/ws\/chat\//, (client) => {
        const server = client.connectToServer();
        let isDeaf = false;
        client.onMessage((text) => {
          if (JSON.parse(text).cmd === "send") {
            sends += 1;
            isDeaf = loads === 1;
          }
          server.send(text);
        });
        server.onMessage((text) => {
          if (!isDeaf) client.send(text);
        });
      });
    };
    const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
    await write(ada, "once");
    await shows(ben, ["once"]);
    await unsent(ada).getByText("sending…").waitFor();
    await ada.reload();
    await shows(ada, ["once"]);
    await write(ben, "twice");
    await shows(ada, ["once", "twice"]);
    await shows(ben, ["once", "twice"]);
    assert.ok(sends >= 1);
  },
);

scene(
  "ten tabs of one person show the same, and send once",
  { server: "paced", limitMs: 300_000 },
  async ({ person, context, path }) => {
    const ben = await person("Ben");
    const mine = await context("Ada");
    const tabs = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const tab = await mine.newPage();
        await tab.goto(path);
        await field(tab).waitFor();
        return tab;
      }),
    );
    const texts = tabs.map((_, n) => `from tab ${n}`);
    for (const [n, tab] of tabs.entries()) await write(tab, texts[n]);
    await until("ten messages", async () => (await saved(ben)).length === 10);
    const log = await saved(ben);
    assert.deepEqual(log.toSorted(), texts.toSorted());
    for (const tab of tabs) await shows(tab, log);
    assert.equal(await ben.getByText("2 here").count(), 1);
  },
);

scene(
  "what a closed tab did not send, another one sends, once",
  {},
  async ({ person, context, path }) => {
    const ben = await person("Ben");
    const mine = await context("Ada");
    const gate = door();
    const [first, second] = await Promise.all(
      [1, 2].map(async (n) => {
        const tab = await mine.newPage();
        if (n === 1) await gate.before(tab);
        await tab.goto(path);
        await field(tab).waitFor();
        return tab;
      }),
    );
    await write(first, "seen");
    await shows(second, ["seen"]);
    gate.shut();
    await write(first, "left behind");
    await unsent(first).getByText("left behind").waitFor();
    await first.close();
    await hide(second, true);
    await hide(second, false);
    await shows(ben, ["seen", "left behind"]);
    await shows(second, ["seen", "left behind"]);
  },
);

scene("a page that one comes back to is alive again, with what is new", {}, async ({ person }) => {
  const [zoe, ben] = await Promise.all([person("Zoë"), person("Ben")]);
  await write(zoe, "before");
  await shows(ben, ["before"]);
  await field(zoe).fill("a draft");
  await zoe.evaluate(() => {
    window.isSame = true;
    window.addEventListener("pageshow", ({ persisted }) => {
      window.isRestored = persisted;
    });
  });
  await zoe.goto("/sign-in/");
  await ben.getByText("1 here").waitFor();
  await write(ben, "meanwhile");
  await shows(ben, ["before", "meanwhile"]);
  await zoe.goBack({ waitUntil: "commit" });
  const why = () =>
    zoe.evaluate(() =>
      JSON.stringify(performance.getEntriesByType("navigation")[0].notRestoredReasons),
    );
  assert.equal(await zoe.evaluate(() => window.isRestored && window.isSame), true, await why());
  await shows(zoe, ["before", "meanwhile"]);
  assert.equal(await field(zoe).inputValue(), "a draft");
  await write(zoe, "back");
  await shows(ben, ["before", "meanwhile", "back"]);
  await ben.getByText("2 here").waitFor();
});

scene(
  "a page that is hidden for long has no connection, and one when it is seen",
  {},
  async ({ person }) => {
    const gate = door();
    const before = async (page) => {
      await page.clock.install();
      await gate.before(page);
    };
    const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
    await write(ada, "before");
    await shows(ben, ["before"]);
    await listen(ada);
    await hide(ada, true);
    await pass(ada, 60_000);
    await write(ben, "one");
    await until("it comes to a hidden page", async () => {
      await ada.clock.runFor(500);
      return (await saved(ada)).length === 2;
    });
    assert.equal(gate.dials, 1);
    await pass(ada, 200_000);
    assert.equal(await ben.getByText("2 here").count(), 1, "it is still connected");
    await pass(ada, 60_000);
    await ben.getByText("1 here").waitFor();
    await write(ben, "two");
    await shows(ben, ["before", "one", "two"]);
    await pass(ada, 60_000);
    assert.equal(gate.dials, 1, "a hidden page does not dial");
    await hide(ada, false);
    await shows(ada, ["before", "one", "two"]);
    assert.equal(gate.dials, 2);
    // What came in the meantime is marked, and nothing was said of the connection.
    assert.equal(await ada.locator(".new").count(), 1);
    assert.deepEqual(
      (await announced(ada)).filter((text) => /connect/i.test(text)),
      [],
    );
  },
);
