// Two people chat: what they say, and what each sees of the other.

import assert from "node:assert/strict";
import { article, field, row, rows, shows, tool, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

scene("two people chat", {}, async ({ person }) => {
  const [ada, bob] = await Promise.all([person("Ada"), person("Bob")]);
  await write(ada, "Hello\nBob");
  await shows(bob, ["Hello\nBob"]);
  await field(bob).pressSequentially("Hi");
  await ada.getByText("Bob is writing…").waitFor();
  await field(bob).press("Enter");
  await write(bob, "How are you?");
  await shows(ada, ["Hello\nBob", "Hi", "How are you?"]);
  await ada.getByText("is writing…").waitFor({ state: "hidden" });

  const [first, second, third] = await rows(ada).all();
  assert.equal(await first.locator(".name").textContent(), "Ada");
  assert.equal(await first.locator(".tag").textContent(), "you");
  assert.equal(await second.locator(".tag").textContent(), "guest");
  assert.equal(await first.locator(".day").count(), 1);
  assert.equal(await second.locator(".day").count(), 0);
  assert.match(await third.getAttribute("class"), /follows/);
  assert.match(await first.locator("time").getAttribute("title"), /\d{4}/);
  assert.match(await second.locator("article").getAttribute("aria-label"), /^Bob \(guest\), \d/);
});

scene("who is here is shown, and goes when they go", {}, async ({ person }) => {
  const ada = await person("Ada");
  const bob = await person("Bob");
  await person("Eva");
  await ada.getByText("3 here").click();
  const people = ada.locator(".people li bdi");
  await until("three people", async () => (await people.count()) === 3);
  assert.deepEqual((await people.allTextContents()).toSorted(), ["Ada", "Bob", "Eva"]);
  await bob.close();
  await ada.getByText("2 here").waitFor();
  assert.deepEqual((await people.allTextContents()).toSorted(), ["Ada", "Eva"]);
  await ada.keyboard.press("Escape");
  assert.equal(await people.first().isVisible(), false);
});

scene("a message is answered, and the answer leads to it", {}, async ({ person }) => {
  const [ada, ben] = await Promise.all([person("Ada"), person("Ben")]);
  await write(ada, "Shall we open the gate?\nIt rains.");
  await shows(ben, ["Shall we open the gate?\nIt rains."]);
  await tool(ben, "Shall we", "Reply");
  await ben.getByText("Reply to Ada").waitFor();
  await ben.keyboard.press("Escape");
  await ben.getByText("Reply to Ada").waitFor({ state: "hidden" });
  await tool(ben, "Shall we", "Reply");
  await ben.keyboard.type("Yes, half of it.");
  await ben.keyboard.press("Enter");
  const quote = row(ada, "Yes, half").locator(".quote");
  await quote.waitFor();
  assert.equal(await quote.innerText(), "Ada Shall we open the gate?");
  await quote.click();
  const first = article(ada, "It rains.");
  await until("the focus is there", () =>
    first.evaluate((node) => node === document.activeElement),
  );
  assert.equal(await ben.getByText("Reply to Ada").isVisible(), false);
});

scene("a message is edited and deleted, by its author alone", {}, async ({ person }) => {
  const [ada, bob] = await Promise.all([person("Ada"), person("Bob")]);
  await write(ada, "Helo");
  await write(ada, "Secret");
  await shows(bob, ["Helo", "Secret"]);
  await article(bob, "Helo").hover();
  await bob.getByRole("button", { name: "Reply" }).waitFor();
  assert.equal(await bob.getByRole("button", { name: /^(Edit|Delete)$/ }).count(), 0);

  await field(ada).fill("half a thought");
  await tool(ada, "Helo", "Edit");
  assert.equal(await field(ada).inputValue(), "Helo");
  await field(ada).fill("Hello");
  await ada.keyboard.press("Enter");
  await shows(bob, ["Hello", "Secret"]);
  await row(bob, "Hello").getByText("edited").waitFor();
  await until(
    "the thought is back",
    async () => (await field(ada).inputValue()) === "half a thought",
  );

  await tool(ada, "Secret", "Delete");
  await ada.getByText("Delete this message for everybody?").waitFor();
  await row(ada, "Secret").getByRole("button", { name: "Cancel" }).click();
  await shows(bob, ["Hello", "Secret"]);
  await tool(ada, "Secret", "Delete");
  await row(ada, "Secret").getByRole("button", { name: "Delete" }).click();
  const gone = ["Hello", "This message was deleted."];
  await shows(bob, gone);
  await shows(ada, gone);
  await shows(await person("Late"), gone);
});

scene("the arrow up edits one's last message", {}, async ({ person }) => {
  const ada = await person("Ada");
  await write(ada, "one");
  await write(ada, "tow");
  await shows(ada, ["one", "tow"]);
  await field(ada).press("ArrowUp");
  assert.equal(await field(ada).inputValue(), "tow");
  await field(ada).fill("two");
  await field(ada).press("Enter");
  await shows(ada, ["one", "two"]);
  await field(ada).press("ArrowUp");
  await field(ada).press("Escape");
  assert.equal(await field(ada).inputValue(), "");
});

/** How far somebody has read in a room, as the server knows it. */
const readSeq = async (page, room) => {
  const url = `/api/v1/rooms/${room}`;
  return (await page.evaluate((each) => fetch(each).then((answer) => answer.json()), url)).read;
};

scene("one reads on where one left off", {}, async ({ person, path }) => {
  const [ada, ben] = await Promise.all([person("Ada"), person("Ben")]);
  await write(ada, "one");
  await shows(ben, ["one"]);
  await shows(ada, ["one"]);
  // The mark is told a moment later.
  await until("it is read", async () => (await readSeq(ben, path.split("/")[2])) === 1);
  await ben.goto("/sign-in/?next=/");
  await write(ada, "two");
  await write(ada, "three");
  await shows(ada, ["one", "two", "three"]);
  await ben.goto(path);
  await shows(ben, ["one", "two", "three"]);
  assert.equal(await row(ben, "two").locator(".new").count(), 1);
  assert.equal(await ben.locator(".new").count(), 1);
});

scene("rooms change without a reload, and show what is unread", {}, async (stage) => {
  const { person, room, path } = stage;
  const [other, never] = [`${room}-b`, `${room}-c`];
  const ben = await person("Ben", { path: `/chat/${never}/` });
  await write(ben, "for nobody");
  await shows(ben, ["for nobody"]);
  await ben.goto(`/chat/${other}/`);
  await write(ben, "long read");
  // Ada has been in the one room, and never in the other.
  const ada = await person("Ada", { path: `/chat/${other}/` });
  await shows(ada, ["long read"]);
  await until("it is read", async () => (await readSeq(ada, other)) === 1);
  await ada.goto(path);
  await write(ben, "for later");
  await shows(ben, ["long read", "for later"]);
  await write(ada, "here");
  await shows(ada, ["here"]);
  await ada.evaluate(() => {
    window.isSame = true;
  });
  // The list learns of new rooms and of their counts when the page is seen again.
  await ada.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  const link = ada.locator(`[data-room="${other}"] a`);
  await until("1 unread", async () => (await link.innerText()).includes("1"));
  await ada.getByRole("link", { name: new RegExp(`${other} ?, 1 unread`) }).waitFor();
  assert.equal(await ada.locator(`[data-room="${never}"] .badge`).innerText(), "");
  await until("the title", async () => /^\(\d+\+?\) .+ · Headgate$/.test(await ada.title()));

  await field(ada).fill("a draft of here");
  await link.click();
  await ada.waitForURL(`**/chat/${other}/`);
  await shows(ada, ["long read", "for later"]);
  assert.equal(await field(ada).inputValue(), "");
  assert.equal(await link.getAttribute("aria-current"), "page");
  await until("nothing is unread", async () => (await link.locator(".badge").innerText()) === "");
  await write(ada, "thanks");
  await shows(ben, ["long read", "for later", "thanks"]);

  await ada.goBack();
  await ada.waitForURL(`**/chat/${room}/`);
  await shows(ada, ["here"]);
  await until("the draft", async () => (await field(ada).inputValue()) === "a draft of here");
  await ada.goForward();
  await shows(ada, ["long read", "for later", "thanks"]);
  await until("nobody is here twice", async () => (await ben.getByText("2 here").count()) === 1);
  assert.equal(await ada.evaluate(() => window.isSame), true);
});
