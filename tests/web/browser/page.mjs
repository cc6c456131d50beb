// What people do on the page, and what they see there.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

const LIMIT_MS = 60_000;

export const field = (page) => page.locator("headgate-chat textarea");
export const rows = (page) => page.locator("headgate-chat .messages > li");
export const row = (page, text) => rows(page).filter({ hasText: text });
export const article = (page, text) => row(page, text).locator("article");
export const unsent = (page) => page.locator("headgate-chat .messages > li.unsent");
export const banner = (page) => page.locator("headgate-chat .banner");
export const sendButton = (page) => page.locator("headgate-chat .send");

/** The texts of the messages that are saved. */
export const saved = (page) =>
  page.locator("headgate-chat .messages > li:not(.unsent) .text").allTextContents();

export async function write(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
}

/** Wait until `check` says yes; its last answer is in the failure. */
export async function until(what, check, limitMs = LIMIT_MS) {
  let last;
  for (const end = Date.now() + limitMs; Date.now() < end; await sleep(40)) {
    last = await check();
    if (last === true) return;
  }
  assert.fail(`in vain: ${what}; at last ${JSON.stringify(last)}`);
}

/** Wait until the page has exactly these messages, all saved, in this order. */
export async function shows(page, texts, limitMs = LIMIT_MS) {
  const wanted = JSON.stringify(texts);
  const same = async () => JSON.stringify(await saved(page)) === wanted;
  await until("the messages", same, limitMs).catch(async () => {
    assert.deepEqual(await saved(page), texts);
  });
  await until("nothing is unsent", async () => (await unsent(page).count()) === 0);
}

/** Press a tool of a message, as with a pointer. */
export async function tool(page, text, name) {
  await article(page, text).hover();
  await row(page, text).getByRole("button", { name, exact: true }).click();
}

/** What is too wide to be seen without scrolling sideways, or to be seen at all. */
export const tooWide = (page) =>
  page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const wide = document.querySelectorAll(
      "headgate-chat, .scroll, .messages > li, article, .foot, .mode",
    );
    return [
      ...(scrollWidth > clientWidth ? ["the page"] : []),
      ...[...wide]
        .filter((box) => box.scrollWidth > box.clientWidth)
        .map((box) => box.className || box.tagName),
    ];
  });

/** Make the page believe that it is hidden, or seen again: a headless one is never. */
export const hide = (page, hidden) =>
  page.evaluate((is) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
    Object.defineProperty(document, "visibilityState", {
      configurable: true,
      get: () => (is ? "hidden" : "visible"),
    });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);

/** Let the page's own time pass, in steps that leave the network time to answer. */
export async function pass(page, ms) {
  const STEP_MS = 5_000;
  for (let left = ms; left > 0; left -= STEP_MS) {
    await page.clock.runFor(Math.min(left, STEP_MS));
    await sleep(60);
  }
}

/** Count what the live regions are changed to, from now on; read it with `announced`. */
export const listen = (page) =>
  page.evaluate(() => {
    window.announcedTexts = [];
    const note = (records) => {
      for (const { target } of records) {
        const region = (target.nodeType === 1 ? target : target.parentElement).closest(
          "[role=status], [role=alert], [aria-live=polite], [aria-live=assertive]",
        );
        const text = region?.textContent.trim();
        if (text) window.announcedTexts.push(text);
      }
    };
    new MutationObserver(note).observe(document.querySelector("headgate-chat"), {
      subtree: true,
      childList: true,
      characterData: true,
    });
  });
export const announced = (page) => page.evaluate(() => window.announcedTexts);
