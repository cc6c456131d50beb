// Limits: whoever writes faster than the server takes it loses nothing, and sees why it
// waits. The server "paced" takes 6 messages at once from a person and room, and then 4
// in a second.

import assert from "node:assert/strict";
import {
  announced,
  article,
  field,
  listen,
  rows,
  saved,
  sendButton,
  shows,
  unsent,
  until,
  write,
} from "./page.mjs";
import { scene } from "./scene.mjs";

const PACED = { server: "paced" };

scene(
  "a flood arrives once, in order, and is held back by a countdown",
  PACED,
  async ({ person }) => {
    const refusals = [];
    const before = (page) =>
      page.on("websocket", (socket) => {
        socket.on("framereceived", ({ payload }) => {
          if (/"rate_limited"/.test(payload)) refusals.push(payload);
        });
      });
    const [ada, ben] = await Promise.all([person("Ada", { before }), person("Ben")]);
    await listen(ada);
    // Until it is connected, what the server takes is a guess.
    await write(ada, "first");
    await shows(ada, ["first"]);
    const texts = Array.from({ length: 30 }, (_, n) => `flood ${n}`);
    await field(ada).focus();
    // All at once, within the page: how fast keys reach it depends on the machine.
    const { wait, states } = await field(ada).evaluate(async (field, texts) => {
      for (const text of texts) {
        document.execCommand("insertText", false, text);
        field.dispatchEvent(
          new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }),
        );
      }
      await new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)));
      return {
        wait: document.querySelector("headgate-chat .wait").textContent,
        states: [...document.querySelectorAll(".unsent .note")].map((note) => note.textContent),
      };
    }, texts);
    assert.equal(await rows(ada).count(), 31);
    assert.match(wait, /^\d sec$/);
    assert.ok(states.includes("queued"), String(states));
    await unsent(ada)
      .getByText(/^waits 1 sec$/)
      .first()
      .waitFor();
    await ada.keyboard.insertText("still writing");
    assert.equal(await field(ada).inputValue(), "still writing");

    await shows(ben, ["first", ...texts]);
    await shows(ada, ["first", ...texts]);
    await until("the button is free", async () => (await sendButton(ada).innerText()) === "Send");
    assert.equal(await field(ada).inputValue(), "still writing");
    // What comes within 1.5 s is told together.
    const told = async () => (await announced(ada)).join(" ");
    await until("the end is told", async () => (await told()).includes("You can send again."));
    assert.equal((await told()).split("You can send again in").length - 1, 1);
    assert.deepEqual(refusals, [], "who counts along is never refused");
  },
);

scene("what is left is shown before it runs out", PACED, async ({ person }) => {
  const ada = await person("Ada", { before: (page) => page.clock.install() });
  const texts = ["1", "2", "3", "4", "5"];
  await write(ada, "0");
  await shows(ada, ["0"]);
  await ada.clock.runFor(5_000);
  // From here on the page's time stands still.
  await ada.clock.pauseAt(await ada.evaluate(() => Date.now() + 1_000));
  assert.equal(await ada.getByText(/^\d left$/).isVisible(), false);
  for (const text of texts) await write(ada, text);
  await until("they are sent", async () => {
    await ada.clock.runFor(1);
    return (await unsent(ada).count()) === 0;
  });
  await ada.getByText("1 left").waitFor();
  await ada.clock.resume();
  await ada.getByText("1 left").waitFor({ state: "detached" });
  await shows(ada, ["0", ...texts]);
});

scene("slow mode makes others wait, with a countdown", PACED, async ({ person }) => {
  const [mo, ben] = await Promise.all([person("Mo"), person("Ben")]);
  assert.equal(await ben.getByLabel("Slow mode").isVisible(), false);
  await mo.getByLabel("Slow mode").selectOption({ label: "5 sec" });
  await ben.getByText("Slow mode: one message in 5 sec").waitFor();
  assert.equal(await ben.getByLabel("Slow mode").isVisible(), false);
  await write(ben, "first");
  await sendButton(ben)
    .getByText(/^[45] sec$/)
    .waitFor();
  await write(ben, "second");
  await unsent(ben)
    .getByText(/^waits [345] sec$/)
    .waitFor();
  await field(ben).fill("third, when I may");
  for (const text of ["mine", "and mine"]) await write(mo, text);
  await shows(mo, ["first", "mine", "and mine"]);
  assert.equal(await sendButton(mo).innerText(), "Send");
  await shows(ben, ["first", "mine", "and mine", "second"]);
  const [first, second] = await Promise.all(
    ["first", "second"].map((text) => article(mo, text).locator("time").getAttribute("datetime")),
  );
  assert.ok(Date.parse(second) - Date.parse(first) >= 5_000);
  await mo.getByLabel("Slow mode").selectOption({ label: "Off" });
  await ben.getByText("Slow mode: one message in").waitFor({ state: "detached" });
  await until("no more wait", async () => (await sendButton(ben).innerText()) === "Send");
  assert.equal(await field(ben).inputValue(), "third, when I may");
});

scene(
  "a refusal waits, stops its room, and is tried again, edited or discarded",
  {},
  async ({ person }) => {
    const sent = [];
    const refusals = [
      { code: "rate_limited", text: "Too fast.", policy: "send", retry_after_ms: 1500 },
      null,
      { code: "muted", text: "You are muted in this room." },
      null,
      { code: "forbidden", text: "You may not do that here." },
      { code: "forbidden", text: "You may not do that here." },
    ];
    const before = (page) =>
      page.routeWebSocket(/\/ws\/chat\//, (client) => {
        const server = client.connectToServer();
        client.onMessage((text) => {
          const { cmd, id, client_id } = JSON.parse(text);
          if (cmd === "send") sent.push({ id: client_id, at: Date.now() });
          const error = cmd === "send" && refusals.shift();
          if (error) client.send(JSON.stringify({ reply: id, error }));
          else server.send(text);
        });
      });
    const ada = await person("Ada", { before });
    await listen(ada);
    await write(ada, "slow");
    await unsent(ada).getByText("waits 2 sec").waitFor();
    await shows(ada, ["slow"]);
    assert.equal(sent[0].id, sent[1].id);
    assert.ok(sent[1].at - sent[0].at >= 1_500, "it waited as long as it was told");

    await write(ada, "muted");
    await write(ada, "behind");
    await unsent(ada).getByText("not sent: You are muted in this room.").waitFor();
    await unsent(ada).getByText("queued").waitFor();
    assert.deepEqual(await saved(ada), ["slow"]);
    assert.equal(sent.length, 3, "nobody is skipped");
    const urgent = async () =>
      (await announced(ada)).includes("Not sent: You are muted in this room.");
    await until("it is told", urgent);
    await ada.getByRole("button", { name: "Retry" }).click();
    await until("the next one fails", async () => (await saved(ada)).length === 2);

    await unsent(ada).getByText("not sent: You may not do that here.").waitFor();
    await field(ada).fill("more");
    await unsent(ada).locator(".buttons").getByRole("button", { name: "Edit" }).click();
    assert.equal(await field(ada).inputValue(), "behind\nmore");
    await field(ada).press("Enter");
    await unsent(ada).locator(".buttons").getByRole("button", { name: "Discard" }).click();
    await shows(ada, ["slow", "muted"]);
  },
);
