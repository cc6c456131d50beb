// The browser that all scenes share, and the servers: those of Python's control, which
// kills and starts them, each on a port and data of its own.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { CONTROL, CHROMIUM = "/usr/bin/chromium", PEOPLE = "{}" } = process.env;

/** Session cookies of people with an account, by their names. */
export const sessions = JSON.parse(PEOPLE);

let browser;

/** Chromium as people have it: hidden pages are throttled, and pages left can come back. */
export function openBrowser() {
  browser ??= chromium.launch({
    executablePath: CHROMIUM,
    ignoreDefaultArgs: [
      "--disable-back-forward-cache",
      "--disable-background-timer-throttling",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
    ],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return browser;
}

export async function closeBrowser() {
  await (await browser)?.close();
}

/** `start`, `stop` or `kill` a server; resolves to its URL. */
export async function control(action, name) {
  const answer = await fetch(`${CONTROL}/${action}/${name}`, { method: "POST" });
  assert.equal(answer.status, 200, `${action} ${name}`);
  return (await answer.json()).url;
}

const urls = new Map();

/** The URL of a server, started when it is first asked for. */
export function serverUrl(name) {
  if (!urls.has(name)) urls.set(name, control("start", name));
  return urls.get(name);
}
