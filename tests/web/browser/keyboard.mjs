// Without a pointer, on a narrow page, and with texts that are hard to lay out.

import assert from "node:assert/strict";
import { field, row, rows, saved, shows, tooWide, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

/** Press Tab, or Shift+Tab, until the focus is there: on no link to where one is. */
async function tabTo(page, what, key = "Tab") {
  for (let n = 0; n < 200; n += 1) {
    const is = await page.evaluate((wanted) => {
      const at = document.activeElement;
      const name =
        at?.getAttribute("aria-label") ?? at?.labels?.[0]?.textContent ?? at?.textContent ?? "";
      const here = at?.getAttribute("aria-current") === "page";
      return at?.tagName !== "BODY" && !here && name.trim().startsWith(wanted);
    }, what);
    if (is) return;
    await page.keyboard.press(key);
  }
  assert.fail(`no way to ${what} by ${key}`);
}

scene("a whole conversation by keyboard", {}, async ({ person, path }) => {
  const [zoe, ben] = await Promise.all([person(null), person("Ben")]);
  const { keyboard } = zoe;
  await zoe.getByLabel("Your name").waitFor();
  await tabTo(zoe, "Your name");
  await keyboard.type("Zoë");
  await keyboard.press("Enter");
  await tabTo(zoe, "Message to");
  await keyboard.type("Helo");
  await keyboard.press("Enter");
  await keyboard.type("a secret");
  await keyboard.press("Shift+Enter");
  await keyboard.type("on two lines");
  await keyboard.press("Enter");
  await shows(ben, ["Helo", "a secret\non two lines"]);
  await write(ben, "A question?");
  await shows(zoe, ["Helo", "a secret\non two lines", "A question?"]);

  // Back into the log, and up to the first message.
  await tabTo(zoe, "Ben", "Shift+Tab");
  await keyboard.press("ArrowUp");
  await keyboard.press("ArrowUp");
  await tabTo(zoe, "Edit");
  await keyboard.press("Enter");
  await until("the text", async () => (await field(zoe).inputValue()) === "Helo");
  await keyboard.press("Control+A");
  await keyboard.type("Hello");
  await keyboard.press("Enter");
  await shows(ben, ["Hello", "a secret\non two lines", "A question?"]);

  await tabTo(zoe, "Ben", "Shift+Tab");
  await keyboard.press("Home");
  await keyboard.press("ArrowDown");
  await tabTo(zoe, "Delete");
  await keyboard.press("Enter");
  await zoe.getByText("Delete this message for everybody?").waitFor();
  await tabTo(zoe, "Delete");
  await keyboard.press("Enter");
  await shows(ben, ["Hello", "This message was deleted.", "A question?"]);

  await tabTo(zoe, "Zoë");
  await keyboard.press("End");
  await tabTo(zoe, "Reply");
  await keyboard.press("Enter");
  await zoe.getByText("Reply to Ben").waitFor();
  await keyboard.type("An answer.");
  await keyboard.press("Enter");
  await row(ben, "An answer.").locator(".quote").waitFor();

  // Out of the log by Escape, to another room and back.
  await tabTo(zoe, "Zoë", "Shift+Tab");
  await keyboard.press("Escape");
  assert.ok(await field(zoe).evaluate((node) => node === document.activeElement));
  await tabTo(zoe, "#", "Shift+Tab");
  await keyboard.press("Enter");
  await until("another room", async () => new URL(zoe.url()).pathname !== path);
});

scene("Enter sends, except with Shift and while a word is composed", {}, async ({ person }) => {
  const ada = await person("Ada");
  const text = field(ada);
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
  assert.deepEqual(await saved(ada), ["one\ntwo"]);
  await write(ada, "é".repeat(9_000)); // more bytes than a command may have
  await ada.getByText(/^Too long by \d[\d,.]* bytes\.$/).waitFor();
  assert.equal((await text.inputValue()).length, 9_000);
  await text.fill("é".repeat(7_900));
  await ada.getByText(/^Too long by/).waitFor({ state: "hidden" });
  await text.press("Enter");
  await until("it is taken", async () => (await saved(ada)).length === 2);
});

const TEXTS = [
  "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(3),
  "https://example.org/" + "path/".repeat(60),
  "👩‍🚀🏳️‍🌈".repeat(60),
  "שלום עולם, הטקסט הזה נכתב מימין לשמאל",
  "مرحبا بالعالم abc 123 " + "م".repeat(200),
  "x".repeat(3_000),
  "| " + "-".repeat(300) + " |",
];

for (const [width, direction] of [
  [320, "ltr"],
  [320, "rtl"],
  [1280, "rtl"],
]) {
  scene(`nothing is too wide at ${width} px, ${direction}`, {}, async ({ person }) => {
    const viewport = { width, height: 640 };
    const ada = await person("Donaudampfschifffahrtsgesellschaftskapi", { viewport });
    await ada.evaluate((dir) => {
      document.documentElement.dir = dir;
    }, direction);
    for (const text of TEXTS) await write(ada, text);
    await shows(ada, TEXTS);
    assert.deepEqual(await tooWide(ada), [], "the log");
    for (const text of ["x".repeat(3_000), TEXTS[0]]) {
      await field(ada).fill(text);
      assert.deepEqual(await tooWide(ada), [], "the field");
    }
    const message = rows(ada).first().locator("article");
    await message.hover();
    await rows(ada).first().getByRole("button", { name: "Reply" }).click();
    assert.deepEqual(await tooWide(ada), [], "the answer");
    await message.hover();
    await rows(ada).first().getByRole("button", { name: "Delete" }).click();
    assert.deepEqual(await tooWide(ada), [], "the question");
    await ada.getByText("1 here").click();
    assert.deepEqual(await tooWide(ada), [], "the people");
    await ada.goto("/");
    assert.deepEqual(await tooWide(ada), [], "home");
  });
}
