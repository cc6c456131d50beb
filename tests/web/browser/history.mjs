// A room with 1,200 messages, of which the page has at most 400 at a time.

import assert from "node:assert/strict";
import { announced, article, listen, rows, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

const MOST_ROWS = 400;
const MESSAGES = 1_200;
const LIMIT_MS = 480_000; // for what reads all of them, beside other scenes

/** Note the largest number of rows that the page ever has, and every hole in them. */
const observe = (page) =>
  page.evaluate(() => {
    window.mostRows = 0;
    window.holes = [];
    const look = () => {
      const texts = [...document.querySelectorAll("headgate-chat .messages > li .text")];
      window.mostRows = Math.max(window.mostRows, texts.length);
      const numbers = texts
        .flatMap((text) => /^message (\d+)/.exec(text.textContent)?.[1] ?? [])
        .map(Number);
      const hole = numbers.findIndex((n, at) => at > 0 && n !== numbers[at - 1] + 1);
      if (hole > 0) window.holes.push([numbers[hole - 1], numbers[hole]]);
    };
    new MutationObserver(look).observe(document.querySelector("headgate-chat .messages"), {
      childList: true,
    });
    look();
  });

/**
 * The number of the first message in the page, or of the last; what others write meanwhile
 * has none. It is asked for again and again, so the page looks, and only as far as it must.
 */
const edge = (page, fromEnd) =>
  page.evaluate((backwards) => {
    const texts = [
      ...document.querySelectorAll("headgate-chat .messages > li:not(.unsent) .text"),
    ];
    if (backwards) texts.reverse();
    for (const text of texts) {
      const number = /^message (\d+)/.exec(text.textContent)?.[1];
      if (number) return Number(number);
    }
    return undefined;
  }, fromEnd);
const first = (page) => edge(page, false);
const last = (page) => edge(page, true);

async function bounded(page) {
  const { mostRows, holes } = await page.evaluate(() => ({
    mostRows: window.mostRows,
    holes: window.holes,
  }));
  assert.ok(mostRows <= MOST_ROWS, `${mostRows} rows`);
  assert.deepEqual(holes, []);
}

async function open(person) {
  const page = await person("Dan", { path: "/chat/long/" });
  await article(page, /message 1200$/).waitFor();
  await observe(page);
  return page;
}

const byWheel = "one scrolls by the wheel to the beginning, and back to the end";
scene(byWheel, { limitMs: LIMIT_MS }, async ({ person }) => {
  const page = await open(person);
  await page.locator(".messages").hover();
  await listen(page);
  await until(
    "the beginning",
    async () => {
      await page.mouse.wheel(0, -6_000);
      return (await first(page)) === 1;
    },
    LIMIT_MS / 3,
  );
  await until(
    "no button for more",
    async () => !(await page.getByText("Show older messages").isVisible()),
  );
  // Somebody else may say something new meanwhile.
  const told = (await announced(page)).filter((text) => text !== "Ben: news");
  assert.deepEqual(told, [], "older messages are no news");
  assert.ok((await last(page)) < MESSAGES);
  await until(
    "the end",
    async () => {
      await page.mouse.wheel(0, 6_000);
      return (await last(page)) === MESSAGES;
    },
    LIMIT_MS / 3,
  );
  await bounded(page);
});

scene(
  "one goes back by the button, keeps the place, and hears of what is new",
  { limitMs: LIMIT_MS },
  async ({ person }) => {
    const page = await open(person);
    const list = page.locator(".scroll");
    for (let before = await first(page), turn = 0; turn < 4; turn += 1) {
      // The row at the top of the box, and where it stands.
      const seen = await list.evaluate(async (box) => {
        box.scrollTop = 0;
        await new Promise((go) => void requestAnimationFrame(go));
        const row = box.querySelector(".messages > li");
        box.querySelector("button.older").click();
        return { key: row.dataset.key, y: row.getBoundingClientRect().top };
      });
      await until("older ones", async () => (await first(page)) < before);
      const y = await page
        .locator(`[data-key="${seen.key}"]`)
        .evaluate((row) => row.getBoundingClientRect().top);
      // The button itself may be gone.
      assert.ok(Math.abs(y - seen.y) < 60, `it stood at ${seen.y}, and stands at ${y}`);
      before = await first(page);
    }
    await bounded(page);

    const ben = await person("Ben", { path: "/chat/long/" });
    await write(ben, "news");
    await page.getByRole("button", { name: "1 new message" }).click();
    await until("the end is in sight", () => article(page, "news").isVisible());
    assert.equal(await page.getByRole("button", { name: "1 new message" }).isVisible(), false);
    assert.ok((await rows(page).count()) <= MOST_ROWS);
  },
);
