// Coming in: with an account or without, and where one may not.

import assert from "node:assert/strict";
import { field, row, saved, shows, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

const [NAME, ...WORDS] = process.env.ACCOUNT.split(" ");

scene("with an account, and out again", {}, async ({ person, path }) => {
  const [zoe, bob] = await Promise.all([person(null), person("Bob")]);
  await zoe.locator("headgate-chat").getByRole("link", { name: "Sign in" }).first().click();
  await zoe.getByLabel("Username").fill(NAME);
  await zoe.getByLabel("Password").fill("wrong");
  await zoe.getByRole("button", { name: "Sign in" }).click();
  await zoe.getByRole("alert").waitFor();
  await zoe.getByLabel("Password").fill(WORDS.join(" "));
  await zoe.getByRole("button", { name: "Sign in" }).click();
  await zoe.waitForURL(`**${path}`);
  await write(zoe, "with an account");
  await shows(bob, ["with an account"]);
  assert.equal(await zoe.getByLabel("Your name").isVisible(), false);
  assert.equal(await row(bob, "with an account").locator(".name").textContent(), "Zoe");
  assert.equal(await row(bob, "with an account").locator(".tag").textContent(), "");
  await zoe.getByRole("button", { name: "Sign out" }).click();
  await zoe.getByRole("link", { name: "Sign in" }).first().waitFor();
});

scene("a guest takes another name and stays the same guest", {}, async ({ person }) => {
  const [zoe, ben] = await Promise.all([person("Zoë"), person("Ben")]);
  await write(zoe, "one");
  await zoe.getByText("You are Zoë").waitFor();
  await zoe.getByRole("button", { name: "Change" }).click();
  await zoe.getByLabel("Your name").fill("Zora");
  await zoe.keyboard.press("Enter");
  await zoe.getByText("You are Zora").waitFor();
  await write(zoe, "two");
  await shows(ben, ["one", "two"]);
  assert.equal(await row(ben, "two").locator(".name").textContent(), "Zora");
  assert.deepEqual(await saved(zoe), ["one", "two"]);
  assert.equal(await row(zoe, "one").locator(".tag").textContent(), "you");
  await ben.getByText("2 here").click();
  await ben.locator(".people li").getByText("Zora").waitFor();
});

scene("a room for others is refused, with the way to sign in", {}, async ({ person }) => {
  const page = await person(null, { path: "/chat/board/" });
  await page
    .locator(".state")
    .getByText("There is no such room or message, or it is not for you.")
    .waitFor();
  assert.equal(await field(page).isVisible(), false);
  assert.equal(await page.getByLabel("Your name").isVisible(), false);
  await page.locator(".empty").getByRole("link", { name: "Sign in" }).waitFor();
  const ada = await person("Ada", { path: "/chat/board/" });
  await until("it is hers", () => field(ada).isVisible());
});

scene("a room is opened by its name, from the list", {}, async ({ person, room }) => {
  const ada = await person("Ada");
  await ada.getByLabel("Open a room by its name").fill(`${room}-new`);
  await ada.keyboard.press("Enter");
  await ada.waitForURL(`**/chat/${room}-new/`);
  await write(ada, "the first here");
  await shows(ada, ["the first here"]);
});

scene("the page speaks German to Germans", {}, async ({ person }) => {
  const ada = await person("Ada", { locale: "de-DE" });
  await ada.getByRole("button", { name: "Senden" }).waitFor();
  await write(ada, "Hallo");
  await shows(ada, ["Hallo"]);
  assert.equal(await row(ada, "Hallo").locator(".tag").textContent(), "ich");
  await ada.getByText("Heute").waitFor();
});
