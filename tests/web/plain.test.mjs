// Pages that import the client's static file, in Chromium, with no build: ROOM and CALLS
// are the examples of the documentation, shown at an address of a real server.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { closeBrowser, control, openBrowser } from "./browser/stage.mjs";

const { ROOM, CALLS } = process.env;

let browser;
let address;

before(async () => {
  browser = await openBrowser();
  address = await control("start", "open");
});
after(closeBrowser);

/** Open a page of a file; what it logs and what breaks goes to `lines`. */
async function open(file) {
  const lines = [];
  const context = await browser.newContext({ baseURL: address });
  const page = await context.newPage();
  page.on("console", (line) => lines.push(line.text()));
  page.on("pageerror", (error) => lines.push(`broken: ${error}`));
  await page.goto("/healthz"); // an address of the server without a policy of its own
  await page.setContent(`<!doctype html><title>A page</title>${await readFile(file, "utf8")}`);
  return { page, lines };
}

test("two pages talk in a room", { timeout: 90_000 }, async () => {
  const [one, two] = [await open(ROOM), await open(ROOM)];
  await one.page.fill("#text", "hi <b>there</b>");
  await one.page.click("button");
  for (const { page } of [one, two]) {
    await page.waitForFunction(() =>
      /^Guest \w+: hi <b>there<\/b>$/.test(document.querySelector("li")?.textContent ?? ""),
    );
  }
  assert.equal(await one.page.inputValue("#text"), "");
  const lines = [...one.lines, ...two.lines].filter((text) => !text.includes("404")); // an icon
  assert.deepEqual(lines, []);
});

test("calls are throttled and debounced", { timeout: 60_000 }, async () => {
  const { page, lines } = await open(CALLS);
  await page.waitForLoadState();
  await page.evaluate(() => {
    for (let n = 0; n < 20; n++) dispatchEvent(new Event("scroll"));
  });
  await page.type("input", "hello");
  while (!lines.includes("look for hello")) await new Promise((go) => setTimeout(go, 20));
  assert.ok(lines.filter((line) => line.startsWith("scrolled")).length <= 2, lines.join("\n"));
});
