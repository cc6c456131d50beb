// The documentation's pictures of the page. Time stands still in them, and nobody's
// luck has a part, so that they change only where the page does.

import { join } from "node:path";
import { banner, field, row, tool, unsent, write } from "./page.mjs";
import { closeBrowser, openBrowser, serverUrl, sessions } from "./stage.mjs";

const [, , FOLDER] = process.argv;
const NOW = new Date("2026-05-12T08:44:00Z");
const WIDE = { width: 1180, height: 740 };
const NARROW = { width: 390, height: 760 };
const LAST = "I put it into the plan";

const url = await serverUrl("open");
const browser = await openBrowser();

/** Somebody in the room, on a page whose clock stands still once it is there. */
async function person(name, { viewport = WIDE, locale = "en-GB", route, ...options } = {}) {
  const context = await browser.newContext({
    baseURL: url,
    viewport,
    locale,
    timezoneId: "UTC",
    reducedMotion: "reduce",
    ...options,
  });
  await context.addCookies([{ name: "sessionid", value: sessions[name], url }]);
  const page = await context.newPage();
  await page.clock.install({ time: NOW });
  await page.addInitScript(() => {
    Math.random = () => 0;
  });
  if (route) await page.routeWebSocket(/\/ws\/chat\//, route);
  await page.goto("/chat/general/");
  await row(page, LAST).waitFor();
  return page;
}

async function take(page, name, { focus = true } = {}) {
  if (focus) await field(page).focus();
  await page.clock.runFor(200);
  const path = join(FOLDER, `page-${name}.png`);
  await page.screenshot({ path, caret: "hide", animations: "disabled" });
  console.log(path);
  await page.context().close();
}

/** Answers each message with "not yet". */
const refusing = (client) => {
  const server = client.connectToServer();
  client.onMessage((text) => {
    const { cmd, id } = JSON.parse(text);
    if (cmd !== "send") return void server.send(text);
    const error = {
      code: "rate_limited",
      text: "Too fast.",
      policy: "send",
      retry_after_ms: 4_000,
    };
    client.send(JSON.stringify({ reply: id, error }));
  });
};

// Those who are there in all of the pictures.
const company = [];
for (const name of ["Ada", "Ben", "Cleo"]) company.push(await person(name));
const cleo = company[2];

async function settled(page, here) {
  await page.getByText(here).waitFor();
  await page.getByRole("link", { name: /Help/ }).getByText("3", { exact: true }).waitFor();
}

for (const colorScheme of ["light", "dark"]) {
  const dan = await person("Dan", { colorScheme, route: quiet });
  await settled(dan, "4 here");
  await cleo.clock.runFor(4_000);
  await field(cleo).pressSequentially("I");
  await dan.getByText("Cleo is writing…").waitFor();
  await take(dan, colorScheme);
  await field(cleo).fill("");
}

const narrow = await person("Dan", { viewport: NARROW, route: quiet });
await narrow.getByText("4 here").waitFor();
await take(narrow, "narrow");

const german = await person("Dan", { locale: "de-DE", route: quiet });
await settled(german, "4 anwesend");
await take(german, "german");

const waiting = await person("Eva", { route: refusing });
await settled(waiting, "4 here");
await write(waiting, "Shall I call the mill?");
await unsent(waiting)
  .getByText(/^waits/)
  .waitFor();
await write(waiting, "I have their number.");
await field(waiting).fill("And then");
await take(waiting, "countdown");

let hang;
const offline = await person("Eva", {
  route(client) {
    client.connectToServer();
    hang = () => client.close({ code: 1001 });
  },
});
await settled(offline, "4 here");
await offline.context().setOffline(true);
hang();
await write(offline, "I am on the train now.");
await write(offline, "Back at eight.");
await offline.clock.runFor(3_000);
await banner(offline).getByText("2 messages will be sent").waitFor();
await take(offline, "offline");

const mo = await person("Mo");
await settled(mo, "4 here");
await tool(mo, "How much do we let through", "Moderate");
await take(mo, "moderation", { focus: false });

await closeBrowser();

/** Keeps to oneself what one has read: the next picture is to show the same. */
function quiet(client) {
  const server = client.connectToServer();
  client.onMessage((text) => {
    if (JSON.parse(text).cmd !== "read") server.send(text);
  });
}
