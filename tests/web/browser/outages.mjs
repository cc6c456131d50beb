// The server goes, and comes back.

import assert from "node:assert/strict";
import { banner, field, saved, shows, unsent, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";
import { control } from "./stage.mjs";

// What a browser says of a server that is away.
const AWAY = /ERR_CONNECTION|ERR_EMPTY_RESPONSE|WebSocket connection/;

scene(
  "a killed server loses nothing that was typed",
  { server: "fragile", expects: AWAY },
  async ({ person }) => {
    const [ada, ben] = await Promise.all([person("Ada"), person("Ben")]);
    await write(ada, "before");
    await shows(ben, ["before"]);
    await field(ada).fill("half a sen");
    await control("kill", "fragile");
    await field(ada).pressSequentially("tence");
    await banner(ada)
      .getByText(/^Reconnecting in \d+ sec$/)
      .waitFor();
    assert.equal(await field(ada).inputValue(), "half a sentence");
    await field(ada).press("Enter");
    await write(ada, "and another");
    await unsent(ada).getByText("queued").nth(1).waitFor();
    await field(ada).fill("still here");
    await control("start", "fragile");
    await ada
      .getByRole("button", { name: "Retry now" })
      .click({ timeout: 2_000 })
      .catch(() => {});
    const all = ["before", "half a sentence", "and another"];
    await shows(ada, all);
    await shows(ben, all);
    await banner(ada).waitFor({ state: "hidden" });
    assert.equal(await field(ada).inputValue(), "still here");
  },
);

scene("a message whose acknowledgement was lost arrives once", {}, async ({ person }) => {
  let visits = 0;
  const ids = [];
  const before = (page) =>
    page.routeWebSocket(/\/ws\/chat\//, (client) => {
      const server = client.connectToServer();
      const visit = (visits += 1);
      client.onMessage((text) => {
        const { cmd, client_id } = JSON.parse(text);
        if (cmd === "send") ids.push(client_id);
        server.send(text);
      });
      server.onMessage((text) => {
        // The first time the connection ends where the acknowledgement would come.
        if (visit === 1 && ids.length) void client.close({ code: 1012 });
        else client.send(text);
      });
    });
  const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
  await write(ada, "once");
  await shows(ada, ["once"]);
  await write(ada, "twice");
  await shows(ada, ["once", "twice"]);
  await shows(ben, ["once", "twice"]);
  assert.equal(new Set(ids).size, 2);
  assert.ok(visits > 1);
});

scene("what was said in one's absence comes on return", {}, async ({ person }) => {
  let isAway = false;
  let hang;
  const before = (page) =>
    page.routeWebSocket(/\/ws\/chat\//, (client) => {
      if (isAway) return void client.close({ code: 1012 });
      client.connectToServer();
      hang = () => client.close({ code: 1012 });
    });
  const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
  await write(ben, "one");
  await shows(ada, ["one"]);
  isAway = true;
  hang();
  for (const text of ["two", "three"]) await write(ben, text);
  await shows(ben, ["one", "two", "three"]);
  isAway = false;
  await shows(ada, ["one", "two", "three"]);
});

scene("what is missing is fetched, and a reset loads afresh", {}, async ({ person, room }) => {
  let swallow = 0;
  let toClient;
  const before = (page) =>
    page.routeWebSocket(/\/ws\/chat\//, (client) => {
      toClient = client;
      client.connectToServer().onMessage((text) => {
        if (swallow && JSON.parse(text).push === "message") swallow -= 1;
        else client.send(text);
      });
    });
  const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
  await write(ben, "one");
  await shows(ada, ["one"]);
  swallow = 2;
  for (const text of ["two", "three", "four"]) await write(ben, text);
  await shows(ada, ["one", "two", "three", "four"]);
  assert.equal(swallow, 0);
  toClient.send(JSON.stringify({ push: "reset", room, oldest: 1, head: 4, epoch: "x" }));
  await shows(ada, ["one", "two", "three", "four"]);
  await write(ben, "five");
  await shows(ada, ["one", "two", "three", "four", "five"]);
});

scene("messages that are left out are told, and shown on request", {}, async ({ person, room }) => {
  let swallow = 0;
  const before = (page) =>
    page.routeWebSocket(/\/ws\/chat\//, (client) => {
      client.connectToServer().onMessage((text) => {
        const { push, seq } = JSON.parse(text);
        if (!swallow || push !== "message") return void client.send(text);
        swallow -= 1;
        client.send(JSON.stringify({ push: "gap", room, from: seq, to: seq }));
      });
    });
  const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
  await write(ben, "one");
  await shows(ada, ["one"]);
  swallow = 2;
  for (const text of ["two", "three", "four"]) await write(ben, text);
  await shows(ada, ["one", "four"]);
  await until("it is told", async () =>
    /messages? left out/.test(await ada.locator(".gap").first().innerText()),
  );
  const show = ada.locator(".gap button");
  await until("no gap", async () => {
    // It may be filled while one reaches for it.
    await show
      .first()
      .click({ timeout: 1_000 })
      .catch(() => {});
    return (await show.count()) === 0;
  });
  await shows(ada, ["one", "two", "three", "four"]);
});

scene("nothing is missed between the first messages and the live ones", {}, async ({ person }) => {
  const ben = await person("Ben");
  await write(ben, "one");
  await shows(ben, ["one"]);
  const before = (page) =>
    page.routeWebSocket(/\/ws\/chat\//, (client) => {
      const server = client.connectToServer();
      client.onMessage(async (text) => {
        if (JSON.parse(text).cmd === "history") {
          await write(ben, "two");
          await shows(ben, ["one", "two"]);
        }
        server.send(text);
      });
    });
  const ada = await person("Ada", { before });
  await shows(ada, ["one", "two"]);
});

scene(
  "a close that means don't come back is obeyed, and its reason shown",
  {},
  async ({ person }) => {
    let visits = 0;
    const before = async (page) => {
      await page.clock.install();
      await page.routeWebSocket(/\/ws\/chat\//, (client) => {
        visits += 1;
        client.onMessage(() => {
          const error = { code: "forbidden", text: "Your access has ended." };
          client.send(JSON.stringify({ reply: null, error }));
          void client.close({ code: 4503 });
        });
      });
    };
    const ada = await person("Ada", { before });
    await banner(ada).getByText("Your access has ended.").waitFor();
    await ada.clock.runFor(120_000);
    assert.equal(visits, 1);
    assert.equal(await ada.getByRole("button", { name: "Retry now" }).isVisible(), false);
    assert.deepEqual(await saved(ada), []);
  },
);

scene(
  "offline is told with what waits, and it goes when one is back",
  { expects: AWAY },
  async ({ person, network }) => {
    const net = await network();
    const [ada, ben] = await Promise.all([person("Ada", { baseURL: net.url }), person("Ben")]);
    await write(ada, "before");
    await shows(ben, ["before"]);
    net.admit("refused");
    net.cut();
    await ada.context().setOffline(true);
    await banner(ada).getByText("You are offline.").waitFor();
    await write(ada, "from the tunnel");
    await banner(ada)
      .getByText("You are offline. 1 message will be sent when you are back.")
      .waitFor();
    net.admit("open");
    await ada.context().setOffline(false);
    await shows(ben, ["before", "from the tunnel"]);
    await shows(ada, ["before", "from the tunnel"]);
    await banner(ada).waitFor({ state: "hidden" });
  },
);
