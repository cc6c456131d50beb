// What moderators do, and what those see to whom it is done.

import assert from "node:assert/strict";
import { announced, field, listen, row, shows, tool, unsent, until, write } from "./page.mjs";
import { scene } from "./scene.mjs";

scene(
  "a moderator mutes somebody, and lets them write again",
  { expects: /403/ },
  async ({ person }) => {
    const [mo, ben] = await Promise.all([person("Mo"), person("Ben")]);
    await write(ben, "loud");
    await shows(mo, ["loud"]);
    await tool(mo, "loud", "Moderate");
    await row(mo, "loud").getByRole("button", { name: "Mute for 10 min" }).click();
    await mo.getByText("Mute Ben in this room for 10 min?").waitFor();
    await row(mo, "loud").getByRole("button", { name: "Mute for 10 min" }).click();
    await until("it is said", async () =>
      (await mo.getByRole("status").allTextContents()).includes("Done."),
    );
    await write(ben, "still loud");
    await unsent(ben)
      .getByText(/^waits \d+ min: You are muted in this room\.$/)
      .waitFor();
    await shows(mo, ["loud"]);

    await tool(mo, "loud", "Moderate");
    await row(mo, "loud").getByRole("button", { name: "Unmute" }).click();
    await until(
      "the question is gone",
      async () => !(await mo.getByText("What to do about Ben?").isVisible()),
    );
    await shows(mo, ["loud", "still loud"]);
  },
);

scene("a moderator deletes what somebody else wrote", {}, async ({ person }) => {
  const [mo, ben] = await Promise.all([person("Mo"), person("Ben")]);
  await write(ben, "rude");
  await write(ben, "polite");
  await shows(mo, ["rude", "polite"]);
  await tool(mo, "rude", "Delete");
  await row(mo, "rude").getByRole("button", { name: "Delete" }).click();
  await shows(mo, ["This message was deleted.", "polite"]);
  await shows(ben, ["This message was deleted.", "polite"]);
  // Moderators edit nobody's words.
  await row(mo, "polite").locator("article").hover();
  await row(mo, "polite").getByRole("button", { name: "Moderate" }).waitFor();
  assert.equal(await row(mo, "polite").getByRole("button", { name: "Edit" }).count(), 0);
});

scene(
  "whoever is banned is told, and comes back when the ban ends",
  { expects: /403/ },
  async ({ person, path }) => {
    const [mo, ben] = await Promise.all([person("Mo"), person("Ben")]);
    await write(ben, "spam");
    await shows(mo, ["spam"]);
    await tool(mo, "spam", "Moderate");
    await row(mo, "spam").getByRole("button", { name: "Ban", exact: true }).click();
    await mo.getByText("Ban Ben from this room?").waitFor();
    await row(mo, "spam").getByRole("button", { name: "Ban", exact: true }).click();
    await ben.locator(".silence").getByText("You may watch this room no longer.").waitFor();
    assert.equal(await field(ben).isVisible(), false);
    await ben.reload();
    await ben.locator(".empty .state").getByText("You are banned from this room.").waitFor();

    await tool(mo, "spam", "Moderate");
    await row(mo, "spam").getByRole("button", { name: "Unban" }).click();
    await until("in again", async () => {
      await ben.goto(path);
      return field(ben)
        .waitFor({ timeout: 2_000 })
        .then(
          () => true,
          () => false,
        );
    });
    await write(ben, "sorry");
    await shows(mo, ["spam", "sorry"]);
  },
);

scene("others are offered nothing of that", {}, async ({ person }) => {
  const [ada, ben] = await Promise.all([person("Ada"), person("Ben")]);
  await write(ben, "hello");
  await shows(ada, ["hello"]);
  await row(ada, "hello").locator("article").hover();
  await row(ada, "hello").getByRole("button", { name: "Reply" }).waitFor();
  assert.equal(await ada.getByRole("button", { name: /Moderate|Delete/ }).count(), 0);
  assert.equal(await ada.getByLabel("Slow mode").isVisible(), false);
});

scene("a burst is announced as its number, seldom", {}, async ({ person }) => {
  const [ada, ben] = await Promise.all([person("Ada"), person("Ben")]);
  await write(ben, "first");
  await shows(ada, ["first"]);
  await until("it is said", async () =>
    (await ada.getByRole("status").allTextContents()).includes("Ben: first"),
  );
  assert.equal(await ada.getByRole("log").getAttribute("aria-live"), "off");
  await listen(ada);
  const began = Date.now();
  const texts = Array.from({ length: 50 }, (_, n) => `burst ${n}`);
  await ben.evaluate((lines) => {
    const area = document.querySelector("headgate-chat textarea");
    for (const line of lines) {
      area.value = line;
      area.form.requestSubmit();
    }
  }, texts);
  await shows(ada, ["first", ...texts]);
  const said = await announced(ada);
  const most = 2 + Math.ceil((Date.now() - began) / 1_500);
  assert.ok(said.length <= most, `${said.length} announcements: ${said.join(" | ")}`);
  await until("a number is said", async () =>
    (await announced(ada)).some((text) => /\d+ new messages/.test(text)),
  );
});
