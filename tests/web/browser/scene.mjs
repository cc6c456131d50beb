// A scene: a test with people of its own in a room of its own, in which nothing may go
// wrong unseen. Scenes are gathered here as their files are imported, and played several
// at a time by `main.test.mjs`.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openProxy } from "./proxy.mjs";
import { openBrowser, serverUrl, sessions } from "./stage.mjs";

const { PICTURES = "/tmp" } = process.env;
const LIMIT_MS = 60_000; // for one step, on a machine that is busy

// A browser's remark where somebody takes a name before the connection is there.
const REMARK = /WebSocket is closed before the connection is established/;

export const scenes = [];

/**
 * Play `play(stage)` as a test.
 *
 * @param options.server - the name of the server: "open" has no limits
 * @param options.expects - what the console may say: what goes wrong on purpose
 * @param options.limitMs - how long it may take
 */
export function scene(name, options, play) {
  const { server = "open", expects, limitMs = 240_000 } = options;
  const rooms = `scene-${process.pid}-${scenes.length + 1}`;
  let plays = 0; // each has a room of its own
  const run = () => perform(name, server, `${rooms}-${(plays += 1)}`, expects, play);
  scenes.push({ name, limitMs, run });
}

async function perform(name, server, room, expects, play) {
  const browser = await openBrowser();
  const url = await serverUrl(server);
  const wrong = [];
  const contexts = [];
  const proxies = [];

  async function context(who, { baseURL = url, ...options } = {}) {
    const made = await browser.newContext({ baseURL, ...options });
    contexts.push(made);
    made.setDefaultTimeout(LIMIT_MS);
    if (who && who in sessions) {
      await made.addCookies([{ name: "sessionid", value: sessions[who], url: baseURL }]);
    }
    await made.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
        console.error(`violation of ${violatedDirective}: ${blockedURI}`);
      });
    });
    made.on("page", (page) => watch(page, who ?? "somebody"));
    return made;
  }

  function watch(page, who) {
    const report = (text) => {
      if (!expects?.test(text) && !REMARK.test(text)) wrong.push(`${who}: ${text}`);
    };
    page.on("pageerror", (error) => report(error.stack ?? String(error)));
    page.on("crash", () => report("the page crashed"));
    page.on("dialog", (dialog) => {
      report(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (line) => {
      if (["error", "warning"].includes(line.type())) report(line.text());
    });
  }

  /** A person with an account, or a guest who introduces themselves, in the room. */
  async function person(who, { path = `/chat/${room}/`, before, ...options } = {}) {
    const page = await (await context(who, options)).newPage();
    await before?.(page);
    await page.goto(path);
    if (who && !(who in sessions)) await introduce(page, who);
    if (who) await page.locator("headgate-chat textarea").waitFor();
    return page;
  }

  async function network() {
    const proxy = await openProxy(url);
    proxies.push(proxy);
    return proxy;
  }

  try {
    await play({ person, context, network, room, url, path: `/chat/${room}/` });
    assert.deepEqual(wrong, []);
  } catch (error) {
    await mkdir(PICTURES, { recursive: true });
    for (const [n, page] of contexts.flatMap((made) => made.pages()).entries()) {
      const path = join(PICTURES, `${name.replace(/\W+/g, "-")}-${n}.png`);
      await page.screenshot({ path, timeout: 5_000 }).catch(() => {});
      error.message += `\n  ${path}`;
    }
    if (wrong.length) error.message += `\n  and: ${wrong.join("\n  ")}`;
    throw error;
  } finally {
    for (const made of contexts) await made.close().catch(() => {});
    for (const proxy of proxies) await proxy.close();
  }
}

async function introduce(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join" }).click();
}
