// The page in Chromium. SERVER is a real server with guests and demo rooms; CONTROL
// kills and starts it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const { SERVER, CONTROL, CHROMIUM = "/usr/bin/chromium" } = process.env;
const HOSTILE = [
  "<img src=x onerror=\"window.broken = true\">",
  "</script><script>window.broken = true</script>",
  "\u202Eesrever \u2066isolated\u2069 \u200Fשלום",
  "{{ 7 * 7 }} ${window.broken = true} &lt;b&gt;",
  "w".repeat(2000),
];

let browser;
let rooms = 0;

before(async () => {
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
});
after(() => browser?.close());

/** A test with people of its own, in a room of its own; nothing may go wrong unseen. */
function scene(name, play) {
  test(name, { timeout: 60_000 }, async () => {
    const contexts = [];
    const wrong = [];
    rooms += 1;
    const path = `/chat/scene-${rooms}/`;

    async function person(guestName, { route, ...options } = {}) {
      const context = await browser.newContext({ baseURL: SERVER, ...options });
      contexts.push(context);
      context.setDefaultTimeout(15_000);
      await context.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => {
          console.error(`violation of ${event.violatedDirective}: ${event.blockedURI}`);
        });
      });
      const page = await context.newPage();
      page.on("pageerror", (error) => wrong.push(error.stack));
      page.on("console", (line) => {
        // A server that is away is part of the play.
        const away = /ERR_CONNECTION|WebSocket connection/.test(line.text());
        if (line.type() === "error" && !away) wrong.push(line.text());
      });
      if (route) await page.routeWebSocket(/\/ws\/chat\//, route);
      await page.goto(path);
      if (guestName) {
        await page.getByLabel("Your name").fill(guestName);
        await page.getByRole("button", { name: "Join" }).click();
        await connected(page);
      }
      return page;
    }

    try {
      await play(person, path);
      assert.deepEqual(wrong, []);
    } finally {
      for (const context of contexts) await context.close();
    }
  });
}

const connected = (page) => page.locator("#state[data-state=connected]").waitFor();
const messages = (page) => page.locator("#messages .text").allTextContents();
const unsent = (page) => page.locator("#unsent .row");
const message = (page, text) => page.locator("#messages .row", { hasText: text });

async function write(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

async function until(what, check) {
  let last;
  for (const end = Date.now() + 15_000; Date.now() < end;) {
    last = await check();
    if (last) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  assert.fail(`in vain: ${what}`);
}

const shows = (page, texts) => until(
  `${texts.length} messages`,
  async () => JSON.stringify(await messages(page)) === JSON.stringify(texts),
).catch(async () => assert.deepEqual(await messages(page), texts));

async function control(action) {
  const { status } = await fetch(`${CONTROL}/${action}`, { method: "POST" });
  assert.equal(status, 204);
}

scene("two people chat", async (person) => {
  const [ada, bob] = [await person("Ada"), await person("Bob")];
  await write(ada, "Hello\nBob");
  await shows(bob, ["Hello\nBob"]);
  await bob.locator("#text").pressSequentially("Hi");
  await ada.getByText("Bob\u2069 is writing…").waitFor();
  await bob.locator("#text").press("Enter");
  await write(bob, "How are you?");
  await shows(ada, ["Hello\nBob", "Hi", "How are you?"]);
  await until("no typing", async () => await ada.locator("#typing").textContent() === "");
  assert.equal(await unsent(bob).count(), 0);

  const [first, second, third] = await ada.locator("#messages .row").all();
  assert.equal(await first.locator(".name").textContent(), "Ada");
  assert.equal(await first.locator(".tag").textContent(), "you");
  assert.equal(await second.locator(".tag").textContent(), "guest");
  assert.equal(await first.locator(".day").isVisible(), true);
  assert.equal(await second.locator(".day").isVisible(), false);
  assert.match(await third.getAttribute("class"), /follows/);
  assert.match(await first.locator("time").getAttribute("title"), /\d{4}/);
});

scene("a message is edited and deleted, by keyboard, by its author alone", async (person) => {
  const [ada, bob] = [await person("Ada"), await person("Bob")];
  await write(ada, "Helo");
  await write(ada, "Secret");
  await shows(bob, ["Helo", "Secret"]);
  assert.equal(await bob.getByRole("button", { name: "Edit" }).count(), 0);

  await message(ada, "Helo").getByRole("button", { name: "Edit" }).focus();
  await ada.keyboard.press("Enter");
  await ada.getByLabel("Edit the message").fill("Hello");
  await ada.keyboard.press("Enter");
  await shows(bob, ["Hello", "Secret"]);
  await message(bob, "Hello").getByText("edited").waitFor();

  await message(ada, "Secret").getByRole("button", { name: "Delete" }).focus();
  await ada.keyboard.press("Enter");
  await shows(bob, ["Hello", "Secret"]);
  await ada.keyboard.press("Enter"); // really
  await shows(bob, ["Hello", "This message was deleted."]);
  const late = await person("Late");
  await shows(late, ["Hello", "This message was deleted."]);
});

scene("hostile text stays text", async (person) => {
  const narrow = { viewport: { width: 320, height: 600 } };
  const [ada, bob] = [await person("<b>Ada</b>"), await person("Bob", narrow)];
  for (const text of HOSTILE) await write(ada, text);
  await shows(bob, HOSTILE);
  for (const page of [ada, bob]) {
    assert.equal(await page.evaluate(() => window.broken), undefined);
    assert.equal(await page.locator("#log img, #log script, #log b").count(), 0);
    assert.equal(await page.locator("#messages .name").first().textContent(), "<b>Ada</b>");
    const [wide, seen] = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.getElementById("scroll");
      return [Math.max(scrollWidth, document.documentElement.scrollWidth), clientWidth];
    });
    assert.ok(wide <= Math.max(seen, page.viewportSize().width), "it does not overflow");
  }
});

test("the policy forbids markup from text, inline scripts and other servers", async () => {
  const page = await browser.newPage();
  await page.goto(`${SERVER}/chat/general/`);
  await assert.rejects(page.evaluate(() => { document.body.innerHTML = "<i>no</i>"; }), /Trusted/);
  await assert.rejects(page.evaluate(() => fetch("http://127.0.0.1:9/")), /Failed to fetch/);
  await page.evaluate(() => {
    const button = document.createElement("button");
    button.setAttribute("onclick", "window.broken = true");
    button.click();
  }).catch(() => {});
  assert.equal(await page.evaluate(() => window.broken), undefined);
  await page.close();
});

scene("a killed server loses nothing that was typed", async (person) => {
  const [ada, bob] = [await person("Ada"), await person("Bob")];
  await write(ada, "before");
  await shows(bob, ["before"]);
  await ada.locator("#text").fill("half a sen");
  await control("kill");
  await ada.locator("#state[data-state=waiting]").waitFor();
  assert.match(await ada.locator("#state").innerText(), /Next try in \d+ s/);
  await ada.locator("#text").pressSequentially("tence");
  assert.equal(await ada.locator("#text").inputValue(), "half a sentence");
  await ada.locator("#text").press("Enter");
  await write(ada, "and another");
  await unsent(ada).getByText("waits for the connection").first().waitFor();
  await ada.locator("#text").fill("still here");
  await control("start");
  await ada.getByRole("button", { name: "Retry now" }).click({ timeout: 500 }).catch(() => {});
  await connected(ada);
  await shows(ada, ["before", "half a sentence", "and another"]);
  await shows(bob, ["before", "half a sentence", "and another"]);
  assert.equal(await unsent(ada).count(), 0);
  assert.equal(await ada.locator("#text").inputValue(), "still here");
});

scene("a message whose acknowledgement was lost arrives once", async (person) => {
  let visits = 0;
  const ids = [];
  const route = (client) => {
    const server = client.connectToServer();
    const visit = visits += 1;
    client.onMessage((text) => {
      if (JSON.parse(text).cmd === "send") ids.push(JSON.parse(text).client_id);
      server.send(text);
    });
    server.onMessage((text) => {
      // The first time the connection ends where the acknowledgement would come.
      if (visit === 1 && ids.length) client.close({ code: 1012 });
      else client.send(text);
    });
  };
  const ada = await person("Ada", { route });
  await write(ada, "once");
  await shows(ada, ["once"]);
  await write(ada, "twice");
  await shows(ada, ["once", "twice"]);
  const bob = await person("Bob");
  await shows(bob, ["once", "twice"]);
  assert.equal(new Set(ids).size, 2);
});

scene("a message that was saved but not acknowledged survives a reload once", async (person) => {
  let visits = 0;
  let sent = 0;
  const route = (client) => {
    const server = client.connectToServer();
    const visit = visits += 1;
    client.onMessage((text) => {
      if (JSON.parse(text).cmd === "send") sent += 1;
      server.send(text);
    });
    server.onMessage((text) => { if (visit > 2 || !sent) client.send(text); });
  };
  const [ada, bob] = [await person("Ada", { route }), await person("Bob")];
  await write(ada, "once");
  await shows(bob, ["once"]);
  await unsent(ada).getByText("sending…").waitFor();
  await ada.reload();
  await shows(ada, ["once"]);
  await until("nothing is unsent", async () => await unsent(ada).count() === 0);
  await write(ada, "twice");
  await shows(bob, ["once", "twice"]);
});

scene("nothing is missed between the first messages and the live ones", async (person) => {
  const bob = await person("Bob");
  await write(bob, "one");
  await shows(bob, ["one"]);
  const route = (client) => {
    const server = client.connectToServer();
    client.onMessage(async (text) => {
      if (JSON.parse(text).cmd === "join") {
        await write(bob, "two");
        await shows(bob, ["one", "two"]);
      }
      server.send(text);
    });
  };
  const ada = await person(null, { route });
  await shows(ada, ["one", "two"]);
});

scene("a reload keeps who one is, what was typed and what is not sent", async (person) => {
  let away = false;
  let hang;
  const route = (client) => {
    if (away) return void client.close({ code: 1012 });
    client.connectToServer();
    hang = () => client.close({ code: 1012 });
  };
  const ada = await person("Ada", { route });
  await write(ada, "first");
  await shows(ada, ["first"]);
  away = true;
  hang();
  await ada.locator("#state[data-state=waiting]").waitFor();
  await write(ada, "second");
  await write(ada, "third");
  await ada.locator("#text").fill("fourth");
  await ada.reload();
  assert.equal(await ada.getByLabel("Your name").isVisible(), false);
  assert.deepEqual(await unsent(ada).locator(".text").allTextContents(), ["second", "third"]);
  assert.equal(await ada.locator("#text").inputValue(), "fourth");
  away = false;
  await connected(ada);
  await shows(ada, ["first", "second", "third"]);
  const authors = await ada.locator("#messages .row").evaluateAll(
    (rows) => rows.map((row) => row.message.author.id),
  );
  assert.equal(new Set(authors).size, 1);
  await ada.reload();
  await shows(ada, ["first", "second", "third"]);
  assert.equal(await unsent(ada).count(), 0);
});

scene("limits are obeyed and shown; a refusal can be tried again or discarded", async (person) => {
  const sent = [];
  const refusals = [
    { code: "rate_limited", text: "Too fast.", policy: "send", retry_after_ms: 1500 },
    null,
    { code: "muted", text: "You are muted in this room." },
    { code: "forbidden", text: "You may not do that here." },
  ];
  const route = (client) => {
    const server = client.connectToServer();
    client.onMessage((text) => {
      const { cmd, id, client_id } = JSON.parse(text);
      if (cmd === "send") sent.push({ id: client_id, at: Date.now() });
      const error = cmd === "send" && refusals.shift();
      if (error) client.send(JSON.stringify({ reply: id, error }));
      else server.send(text);
    });
  };
  const ada = await person("Ada", { route });
  await write(ada, "slow");
  await unsent(ada).getByText("waits 2 s").waitFor();
  await shows(ada, ["slow"]);
  assert.equal(sent[0].id, sent[1].id);
  assert.ok(sent[1].at - sent[0].at >= 1500, "it waited as long as it was told");

  await write(ada, "muted");
  await write(ada, "refused");
  const [muted, refused] = ["muted", "refused"].map(
    (text) => unsent(ada).filter({ has: ada.getByText(text, { exact: true }) }),
  );
  await muted.getByText("You are muted in this room.").waitFor();
  await refused.getByText("You may not do that here.").waitFor();
  await refused.getByRole("button", { name: "Discard" }).click();
  await muted.getByRole("button", { name: "Retry" }).click();
  await shows(ada, ["slow", "muted"]);
  assert.equal(await unsent(ada).count(), 0);
});

scene("what is missing is fetched, and a reset loads afresh", async (person) => {
  let swallow = 0;
  let toClient;
  const route = (client) => {
    const server = client.connectToServer();
    toClient = client;
    server.onMessage((text) => {
      if (swallow && JSON.parse(text).push === "message") swallow -= 1;
      else client.send(text);
    });
  };
  const [ada, bob] = [await person("Ada", { route }), await person("Bob")];
  await write(bob, "one");
  await shows(ada, ["one"]);
  swallow = 2;
  for (const text of ["two", "three", "four"]) await write(bob, text);
  await shows(ada, ["one", "two", "three", "four"]);
  const room = new URL(ada.url()).pathname.split("/")[2];
  toClient.send(JSON.stringify({ push: "reset", room, oldest: 1, head: 4, epoch: "x" }));
  await shows(ada, ["one", "two", "three", "four"]);
  await write(bob, "five");
  await shows(ada, ["one", "two", "three", "four", "five"]);
});

scene("what was said in one's absence comes on return", async (person) => {
  let away = false;
  let hang;
  const route = (client) => {
    if (away) return void client.close({ code: 1012 });
    client.connectToServer();
    hang = () => client.close({ code: 1012 });
  };
  const [ada, bob] = [await person("Ada", { route }), await person("Bob")];
  await write(bob, "one");
  await shows(ada, ["one"]);
  away = true;
  hang();
  await write(bob, "two");
  await shows(bob, ["one", "two"]);
  away = false;
  await shows(ada, ["one", "two"]);
});

scene("earlier messages are loaded on request, and the place is kept", async (person) => {
  const ada = await person("Ada");
  const texts = Array.from({ length: 60 }, (_, n) => `message ${n}`);
  for (const chunk of [texts.slice(0, 30), texts.slice(30)]) {
    await ada.evaluate((lines) => {
      const area = document.getElementById("text");
      for (const line of lines) {
        area.value = line;
        area.form.requestSubmit();
      }
    }, chunk);
    await until("all sent", async () => await unsent(ada).count() === 0);
  }
  const late = await person("Late");
  await shows(late, texts.slice(10));
  const place = () => late.locator("#messages .text", { hasText: /^message 10$/ }).boundingBox();
  await late.locator("#scroll").evaluate((node) => { node.scrollTop = 0; });
  const { y } = await place();
  await late.getByRole("button", { name: "Load earlier messages" }).click();
  await shows(late, texts);
  assert.equal(await late.locator("#earlier").isVisible(), false);
  assert.ok(Math.abs((await place()).y - y) < 80);
  await write(ada, "news");
  await late.getByRole("button", { name: "1 new message" }).click();
  await until("the end is in sight", () => message(late, "news").isVisible());
});

scene("a close that means don't come back is obeyed, and its reason shown", async (person) => {
  let visits = 0;
  const route = (client) => {
    visits += 1;
    client.onMessage(() => {
      client.send(JSON.stringify({ reply: null, error: { code: "forbidden", text: "Your access has ended." } }));
      client.close({ code: 4503 });
    });
  };
  const ada = await person(null, { route });
  await ada.locator("#state[data-state=stopped]", { hasText: "Your access has ended." }).waitFor();
  await ada.waitForTimeout(1500);
  assert.equal(visits, 1);
  assert.equal(await ada.getByRole("button", { name: "Retry now" }).isVisible(), false);
});

scene("Enter sends, except with Shift and while a word is composed", async (person) => {
  const ada = await person("Ada");
  const text = ada.locator("#text");
  await text.fill("one");
  await text.press("Shift+Enter");
  await text.pressSequentially("two");
  await text.evaluate((node) => {
    const enter = { key: "Enter", bubbles: true, cancelable: true };
    node.dispatchEvent(new KeyboardEvent("keydown", { ...enter, isComposing: true }));
    node.dispatchEvent(new KeyboardEvent("keydown", { ...enter, keyCode: 229 }));
  });
  assert.equal(await text.inputValue(), "one\ntwo");
  await text.press("Enter");
  await shows(ada, ["one\ntwo"]);
  await write(ada, "   ");
  assert.equal(await unsent(ada).count(), 0);
  await write(ada, "é".repeat(9000)); // more bytes than a command may have
  assert.match(await ada.locator("#trouble").textContent(), /too long by \d+ bytes/);
  assert.equal((await text.inputValue()).length, 9000);
});

scene("with an account, and out again", async (person, path) => {
  const ada = await person(null);
  await ada.getByRole("link", { name: "Sign in instead" }).click();
  await ada.getByLabel("Username").fill("ada");
  await ada.getByLabel("Password").fill("correct horse 9");
  await ada.getByRole("button", { name: "Sign in" }).click();
  await ada.waitForURL(`**${path}`);
  await connected(ada);
  assert.equal(await ada.getByLabel("Your name").count(), 0);
  await write(ada, "with an account");
  const bob = await person("Bob");
  await shows(bob, ["with an account"]);
  assert.equal(await bob.locator("#messages .name").textContent(), "ada");
  assert.equal(await bob.locator("#messages .tag").textContent(), "");
  await ada.getByRole("button", { name: "Sign out" }).click();
  await ada.getByRole("link", { name: "Sign in" }).first().waitFor();
});

for (const colorScheme of ["light", "dark"]) {
  scene(`all text is readable, ${colorScheme}`, async (person) => {
    const [ada, bob] = [await person("Ada", { colorScheme }), await person("Bob")];
    await write(ada, "mine");
    await write(bob, "yours");
    await shows(ada, ["mine", "yours"]);
    assert.deepEqual(await ada.evaluate(faint), []);
  });
}

/** In the page: the texts with less than 4.5:1 to what is behind them. */
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const mix = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest("template")) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const [back, front] = [mix(["#fff", ...behind]), mix(["#fff", ...behind, getComputedStyle(element).color])];
    const [low, high] = [light(back), light(front)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push(`${node.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return found;
}
