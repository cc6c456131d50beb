// A message grows while people watch: what they see and hear of it, and who can stop it.

import assert from "node:assert/strict";
import { audit } from "./accessibility.mjs";
import { announced, article, listen, row, rows, shows, tool, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

const CALM = { reducedMotion: "reduce" };

/** Somebody's second connection, by hand: `say` sends a command and gives the reply. */
async function writer(page, room) {
  await page.evaluate(async () => {
    const socket = new WebSocket(new URL("/ws/chat/", location.href), "headgate.v1");
    const waiting = new Map();
    let ids = 0;
    window.say = (command) =>
      new Promise((resolve) => {
        waiting.set(++ids, resolve);
        socket.send(JSON.stringify({ ...command, id: ids }));
      });
    await new Promise((resolve) => {
      socket.onopen = () => socket.send(JSON.stringify({ cmd: "hello" }));
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        if (frame.push === "welcome") resolve();
        waiting.get(frame.reply)?.(frame);
      };
    });
  });
  const say = (command) => page.evaluate((each) => window.say(each), { room, ...command });
  let at = 0;
  let seq;
  return {
    async begin(reply_to) {
      const open = { text: "", open: true, format: "markdown", reply_to };
      const reply = await say({ cmd: "send", client_id: `grows-${Math.random()}`, ...open });
      assert.ok(reply.seq, JSON.stringify(reply));
      seq = reply.seq;
      at = 0;
    },
    async add(text, state) {
      const reply = await say({ cmd: "append", seq, at, text, ...(state && { state }) });
      at += Array.from(text).length;
      return reply.error?.code ?? "";
    },
  };
}

const stop = (page) => page.getByRole("button", { name: "Stop", exact: true });

/** The text and the note of the last message. */
const last = async (page) => {
  const element = rows(page).last();
  return [
    await element.locator(".text").innerText(),
    await element.locator(".note").textContent(),
    await element.getAttribute("class").then((name) => name.includes("grows")),
  ];
};
const sees = (page, text, note, grows) =>
  until(`${text} (${note})`, async () => {
    const found = JSON.stringify(await last(page));
    return found === JSON.stringify([text, note, grows]) || found;
  });

scene("a message grows, and is said once", CALM, async ({ person, room, path }) => {
  const [ada, ben] = await Promise.all([person("Ada"), person("Ben")]);
  await write(ada, "What is a headgate?");
  await shows(ben, ["What is a headgate?"]);
  const bot = await writer(ben, room);
  await listen(ada);
  await bot.begin(1);
  await sees(ada, "", "", true);
  await audit(ada, "a message that begins to grow");
  await bot.add("A **gate** at the head 🌊 of a");
  await sees(ada, "A gate at the head 🌊 of a", "", true);
  await audit(ada, "a message that grows");
  const strong = await rows(ada).last().locator("strong").elementHandle();

  // Whoever comes in the middle has all so far; whoever is there stays at the end.
  const eva = await person("Eva");
  await sees(eva, "A gate at the head 🌊 of a", "", true);
  // What is selected stays so.
  const selected = " at the head 🌊 of a";
  await strong.evaluate((node) => {
    const { nextSibling: text } = node;
    window.getSelection().setBaseAndExtent(text, 0, text, text.length);
  });
  assert.equal(await ada.evaluate(() => String(window.getSelection())), selected);
  await bot.add(" **canal**.\n\n");
  await sees(ada, "A gate at the head 🌊 of a canal.", "", true);
  assert.equal(await ada.evaluate(() => String(window.getSelection())), selected);
  for (let n = 1; n <= 40; n++) await bot.add(`- item ${n}\n`);
  await until("the end is seen", async () =>
    (await rows(ada).last().innerText()).includes("item 40"),
  );
  await until("it stays at the end", () =>
    ada
      .locator(".scroll")
      .evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 2),
  );
  assert.ok(await strong.evaluate((node) => node.isConnected), "it was painted anew");
  assert.deepEqual(await announced(ada), []);

  assert.equal(await bot.add("- and that is all", "done"), "");
  await until("it has ended", async () => (await ada.locator("li.grows").count()) === 0);
  for (const page of [ada, eva]) {
    assert.equal(await rows(page).last().locator("li").count(), 41);
    assert.equal(await rows(page).last().locator(".note").textContent(), "");
  }
  await until("it is said", async () => {
    const said = (await announced(ada)).filter((text) => text.startsWith("Ben: "));
    return (said.length === 1 && said[0].startsWith("Ben: A **gate**")) || said;
  });
  await eva.goto(path);
  await until("it is there", async () => (await rows(eva).last().locator("li").count()) === 41);
  assert.equal(await rows(eva).last().locator(".note").textContent(), "");
});

scene("whoever asked stops the answer, by the keyboard", CALM, async ({ person, room }) => {
  const [ada, ben, eva] = await Promise.all([person("Ada"), person("Ben"), person("Eva")]);
  await write(ada, "How long is the canal?");
  await shows(ben, ["How long is the canal?"]);
  const bot = await writer(ben, room);
  await bot.begin(1);
  await bot.add("It is");
  await sees(eva, "It is", "", true);
  assert.equal(await stop(eva).count(), 0);
  assert.equal(await stop(ben).count(), 1);
  // From the message by Tab: its quote, and then the button.
  await article(ada, "It is").focus();
  for (let n = 0; n < 4; n++) {
    await ada.keyboard.press("Tab");
    if (await stop(ada).evaluate((node) => node === document.activeElement)) break;
  }
  await bot.add(" very");
  await sees(ada, "It is very", "", true);
  assert.ok(await stop(ada).evaluate((node) => node === document.activeElement));
  await ada.keyboard.press("Enter");
  for (const page of [ada, ben, eva]) await sees(page, "It is very", "Stopped.", false);
  assert.equal(await stop(ada).count(), 0);
  assert.ok(await article(ada, "It is").evaluate((node) => node === document.activeElement));
  assert.equal(await bot.add(" long"), "not_growing");
  await sees(ada, "It is very", "Stopped.", false);
  await audit(ada, "a message that was stopped");
});

scene("a moderator stops it, a deletion ends it, and what breaks off says so", CALM, async (on) => {
  const { person, room, path } = on;
  const [mo, ben] = await Promise.all([person("Mo"), person("Ben")]);
  await write(mo, "Well?");
  await shows(ben, ["Well?"]);
  const bot = await writer(ben, room);
  await bot.begin();
  await bot.add("one");
  await sees(mo, "one", "", true);
  await stop(mo).click();
  await sees(ben, "one", "Stopped.", false);

  await bot.begin();
  await bot.add("two");
  await sees(ben, "two", "", true);
  // While it grows its author can delete but not edit it.
  await article(ben, "two").hover();
  assert.equal(await row(ben, "two").getByRole("button", { name: "Edit" }).count(), 0);
  await tool(ben, "two", "Delete");
  await row(ben, "two").getByRole("button", { name: "Delete" }).click();
  await sees(mo, "This message was deleted.", "", false);
  assert.equal(await bot.add("more"), "not_growing");

  await bot.begin();
  assert.equal(await bot.add("thr", "cut"), "");
  await sees(mo, "thr", "The answer was cut off.", false);
  await audit(mo, "a message that was cut off");
  await mo.goto(path);
  await sees(mo, "thr", "The answer was cut off.", false);
  assert.equal(await row(mo, "one").locator(".note").textContent(), "Stopped.");
});
