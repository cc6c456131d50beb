// The event stream in Chromium, read by the browser's own EventSource, from a real server
// that is killed and started. EXAMPLE is the file with the example of the documentation.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { closeBrowser, control, openBrowser } from "./browser/stage.mjs";

const { EXAMPLE } = process.env;

let browser;
let address;

before(async () => {
  browser = await openBrowser();
  address = await control("start", "open");
});
after(closeBrowser);

/** Say something in a room, on a WebSocket of plain mode within the page. */
async function say(page, room, ...texts) {
  await page.evaluate(
    async ([path, said]) => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}${path}`);
      await new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = reject;
      });
      for (const message of said) {
        const saved = new Promise((resolve) => {
          socket.onmessage = (event) => "author" in JSON.parse(event.data) || resolve();
        });
        socket.send(JSON.stringify({ message }));
        await saved;
      }
      socket.close();
    },
    [`/ws/chat/${room}/`, texts],
  );
}

/** Wait until the page has logged so many lines of a kind. */
async function logged(lines, kind, count) {
  const until = Date.now() + 20_000;
  while (lines.filter((line) => kind.test(line)).length < count) {
    assert.ok(Date.now() < until, `${count} times ${kind} in\n${lines.join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("the documented ten lines miss nothing", { timeout: 90_000 }, async () => {
  const context = await browser.newContext({ baseURL: address });
  const lines = [];
  const page = await context.newPage();
  page.on("console", (line) => lines.push(line.text()));
  page.on("pageerror", (error) => lines.push(`broken: ${error}`));
  await page.goto("/");
  // As a script of the page would: the page's own policy lets only its files run.
  await page.evaluate(await readFile(EXAMPLE, "utf8"));
  await logged(lines, /^reading as Guest/, 1);
  await say(page, "general", "one", "two\nlines\u2028 👋");
  await say(page, "help", "beside");
  await logged(lines, /: (one|two\nlines\u2028 👋|beside)$/, 3);

  await control("kill", "open");
  await control("start", "open");
  await say(page, "general", "three");
  await say(page, "help", "again");
  await logged(lines, /^reading as Guest/, 2);
  await say(page, "general", "four");
  await logged(lines, /: (three|again|four)$/, 3);

  const texts = lines.filter((line) => /^Guest \w+: /.test(line));
  const heard = texts.map((line) => line.replace(/^Guest \w+: /, ""));
  assert.deepEqual(
    heard.toSorted(),
    ["one", "two\nlines\u2028 👋", "beside", "three", "again", "four"].toSorted(),
  );
  assert.deepEqual(
    lines.filter((line) => /^(broken|load afresh)/.test(line)),
    [],
  );
});

test("a page of another origin reads nothing", { timeout: 60_000 }, async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const other = address.replace("127.0.0.1", "localhost");
  assert.notEqual(other, address);
  await page.goto(`${other}/healthz`);
  const [state, opened, image] = await page.evaluate(async (server) => {
    const url = `${server}/api/v1/stream?rooms=general`;
    const source = new EventSource(url, { withCredentials: true });
    let welcomed = false;
    source.addEventListener("welcome", () => {
      welcomed = true;
    });
    await new Promise((resolve) => {
      source.onerror = resolve;
    });
    // A request that CORS has no part in: it cannot be read, and is not served.
    const blind = await fetch(url, { mode: "no-cors", credentials: "include" });
    await blind.text().catch(() => "");
    return [source.readyState, welcomed, blind.type];
  }, address);
  assert.deepEqual([state, opened, image], [2, false, "opaque"]);
});
