// axe finds nothing, in any state of the page, in both themes; contrast included.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import {
  article,
  banner,
  field,
  row,
  rows,
  sendButton,
  shows,
  tool,
  unsent,
  write,
} from "./page.mjs";
import { scene } from "./scene.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// Nothing is caught in the middle of an animation.
const CALM = { reducedMotion: "reduce" };

/** Hold the page against axe's rules, in both themes. */
export async function audit(page, state) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, ...CALM });
    const found = await page.evaluate(async (rules) => {
      const { violations } = await window.axe.run(document, {
        runOnly: { type: "tag", values: rules },
        resultTypes: ["violations"],
      });
      return violations.flatMap(({ id, help, nodes }) =>
        nodes.map(
          ({ html, any }) => `${id}: ${help}: ${html.slice(0, 160)} ${any[0]?.message ?? ""}`,
        ),
      );
    }, RULES);
    assert.deepEqual(found, [], `${state}, ${colorScheme}`);
  }
}

scene(
  "axe finds nothing where one comes in",
  { ...CALM, expects: /status of 400/ },
  async ({ person }) => {
    const page = await person(null, { path: "/" });
    await audit(page, "home");
    await page.goto("/?room=no+room");
    await audit(page, "home, with a name that is none");
    await page.goto("/sign-in/");
    await audit(page, "signing in");
    await page.getByLabel("Username").fill("nobody");
    await page.getByLabel("Password").fill("nothing");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    await audit(page, "signing in, refused");
    await page.goto("/chat/board/");
    await page.locator(".state").getByText("There is no such room").waitFor();
    await audit(page, "a refused room");
    await page.goto("/chat/help/");
    await page.getByLabel("Your name").waitFor();
    await page.getByText("No messages yet").waitFor();
    await audit(page, "the introduction, in an empty room");
  },
);

scene("axe finds nothing in a conversation", CALM, async ({ person }) => {
  const [mo, ben, zoe] = await Promise.all([person("Mo"), person("Ben"), person("Zoë")]);
  await write(ben, "Is the gate open?\nhttps://example.org/gate");
  await shows(mo, ["Is the gate open?\nhttps://example.org/gate"]);
  await tool(mo, "Is the gate", "Reply");
  await audit(mo, "an answer that is begun");
  await write(mo, "Half of it.");
  await write(zoe, "hm");
  await write(mo, "a slip");
  await shows(ben, ["Is the gate open?\nhttps://example.org/gate", "Half of it.", "hm", "a slip"]);
  await field(ben).pressSequentially("I");
  await mo.getByText("Ben is writing…").waitFor();
  await tool(mo, "a slip", "Delete");
  await audit(mo, "the question before a deletion");
  await row(mo, "a slip").getByRole("button", { name: "Delete" }).click();
  await mo.getByText("This message was deleted.").waitFor();
  await audit(mo, "a conversation");
  await tool(mo, "Half of it.", "Edit");
  await audit(mo, "an edit");
  await field(mo).press("Escape");
  await tool(mo, "hm", "Moderate");
  await audit(mo, "moderation");
  await row(mo, "hm").getByRole("button", { name: "Mute for 1 hr" }).click();
  await audit(mo, "the question before a mute");
  await row(mo, "hm").getByRole("button", { name: "Cancel" }).click();
  await mo.getByText("3 here").click();
  await audit(mo, "who is here");
  await article(zoe, "Half of it.").focus();
  await audit(zoe, "a message that has the focus");
  await zoe.getByRole("button", { name: "Change" }).click();
  await audit(zoe, "another name");
});

scene("axe finds nothing in a long log and with what is new", CALM, async ({ person }) => {
  const eva = await person("Eva", { path: "/chat/long/", viewport: { width: 390, height: 700 } });
  await rows(eva).last().waitFor();
  await eva.locator(".messages").hover();
  await eva.mouse.wheel(0, -1_500);
  await eva.getByRole("button", { name: "Jump to the newest" }).waitFor();
  await audit(eva, "a long log, narrow, with new messages below");
});

scene(
  "axe finds nothing while one waits or has failed",
  { ...CALM, server: "paced" },
  async ({ person }) => {
    const answers = [{ code: "forbidden", text: "You may not do that here." }];
    const before = (page) =>
      page.routeWebSocket(/\/ws\/chat\//, (client) => {
        const server = client.connectToServer();
        client.onMessage((text) => {
          const { cmd, id, text: said } = JSON.parse(text);
          const error = cmd === "send" && said === "fails" && answers.shift();
          if (error) client.send(JSON.stringify({ reply: id, error }));
          else server.send(text);
        });
      });
    const [mo, ben] = await Promise.all([person("Mo"), person("Ben", { before })]);
    await mo.getByLabel("Slow mode").selectOption({ label: "1 min" });
    await ben.getByText("Slow mode: one message in").waitFor();
    for (const text of ["one", "two", "three"]) await write(ben, text);
    await sendButton(ben)
      .getByText(/^\d+ (sec|min)$/)
      .waitFor();
    await unsent(ben)
      .getByText(/^waits/)
      .waitFor();
    await audit(ben, "a countdown, with what is queued");
    await mo.getByLabel("Slow mode").selectOption({ label: "Off" });
    await unsent(ben).first().waitFor({ state: "detached" });
    await write(ben, "fails");
    await unsent(ben).getByText("not sent").waitFor();
    await audit(ben, "a message that failed");
    await field(ben).fill("é".repeat(9_000));
    await ben.getByText(/^Too long by/).waitFor();
    await audit(ben, "a text that is too long");
  },
);

scene(
  "axe finds nothing without a connection",
  { ...CALM, expects: /WebSocket|ERR_/ },
  async ({ person }) => {
    let isAway = false;
    let hang;
    const before = (page) =>
      page.routeWebSocket(/\/ws\/chat\//, (client) => {
        if (isAway) return void client.close({ code: 1012 });
        client.connectToServer();
        hang = () => client.close({ code: 1012 });
      });
    const ada = await person("Ada", { before });
    await write(ada, "saved");
    await shows(ada, ["saved"]);
    isAway = true;
    hang();
    await write(ada, "not yet");
    await banner(ada).waitFor();
    await audit(ada, "without a connection");
    await ada.context().setOffline(true);
    await banner(ada).getByText("You are offline.").waitFor();
    await audit(ada, "offline");

    const eva = await person("Eva", {
      before: (page) => page.routeWebSocket(/\/ws\/chat\//, () => {}),
    });
    await eva.locator(".skeleton").waitFor();
    await audit(eva, "loading");
    const finn = await person("Finn", {
      before: (page) =>
        page.routeWebSocket(/\/ws\/chat\//, (client) => {
          client.onMessage(() => {
            client.send(
              JSON.stringify({
                reply: null,
                error: { code: "forbidden", text: "Your access has ended." },
              }),
            );
            void client.close({ code: 4503 });
          });
        }),
    });
    await banner(finn).getByText("Your access has ended.").waitFor();
    await audit(finn, "sent away for good");
  },
);
