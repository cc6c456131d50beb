// Runs a file as a page's script would run, in Chromium, and prints what it logs, until
// the end of the input. SERVER is the site whose page it is, EXAMPLE the file.

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const { SERVER, EXAMPLE, CHROMIUM = "/usr/bin/chromium" } = process.env;

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const page = await browser.newPage();
  page.on("console", (line) => {
    // That a connection was lost, the browser says by itself.
    if (line.type() === "log") console.log(line.text());
  });
  page.on("pageerror", (error) => console.log(`broken: ${error}`));
  await page.goto(`${SERVER}/healthz`);
  await page.evaluate(await readFile(EXAMPLE, "utf8"));
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
} finally {
  await browser.close();
}
