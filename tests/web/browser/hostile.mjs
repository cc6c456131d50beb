// Whatever is written is shown as text.

import assert from "node:assert/strict";
import { row, rows, saved, tooWide, until } from "./page.mjs";
import { scene } from "./scene.mjs";
import { HOSTILE, HOSTILE_NAMES } from "./hostile_texts.mjs";

const MAY_BE = new Set(["A", "STRONG", "EM", "CODE", "P", "PRE", "BLOCKQUOTE", "UL", "LI"]);
const LEAST_TAKEN = HOSTILE.length - 2; // a server may refuse half of a character

/** Write as a guest of that name, by HTTP; resolves to what the server took. */
async function guest(url, name) {
  const json = { "Content-Type": "application/json" };
  const connect = await fetch(`${url}/api/v1/connect`, {
    method: "POST",
    headers: json,
    body: JSON.stringify({ name }),
  });
  const { guest: token } = await connect.json();
  return async (room, body) => {
    const answer = await fetch(`${url}/api/v1/rooms/${room}/messages`, {
      method: "POST",
      headers: { ...json, "Headgate-Guest": token },
      body: JSON.stringify(body),
    });
    assert.ok(
      answer.status < 500,
      `${answer.status} for ${JSON.stringify(body.text.slice(0, 60))}`,
    );
    return answer.ok;
  };
}

/** In the page: what is there that should not be. */
function found(allowed) {
  const chat = document.querySelector("headgate-chat");
  const wrong = [];
  for (const text of chat.querySelectorAll(".text")) {
    const isMarkdown = text.querySelector(":scope > *:not(a)");
    for (const element of text.querySelectorAll("*")) {
      const names = element.getAttributeNames();
      if (!(isMarkdown ? allowed : ["A"]).includes(element.tagName)) wrong.push(element.tagName);
      if (element.tagName !== "A") wrong.push(...names.map((name) => `${element.tagName} ${name}`));
      else {
        wrong.push(...names.filter((name) => !["href", "rel", "target", "title"].includes(name)));
        if (!["http:", "https:", "mailto:"].includes(element.protocol)) wrong.push(element.href);
        if (element.rel !== "noopener nofollow ugc" || element.target !== "_blank")
          wrong.push(element.outerHTML);
      }
    }
  }
  const strange =
    "img, script, iframe, object, embed, style, link, meta, base, svg, math, template, [onload], [onerror], [onclick]";
  const script = ":scope > script[type='application/json']";
  for (const element of chat.querySelectorAll(strange)) {
    if (!element.matches(script)) wrong.push(element.outerHTML);
  }
  if (window.broken !== undefined) wrong.push("a script ran");
  return wrong;
}

for (const format of ["plain", "markdown"]) {
  scene(`hostile ${format} text stays text`, {}, async ({ person, room, url }) => {
    const viewport = { width: 320, height: 600 };
    const ada = await person("Ada", { viewport });
    const says = await Promise.all(HOSTILE_NAMES.map((name) => guest(url, name)));
    const taken = [];
    for (const [n, text] of HOSTILE.entries()) {
      if (await says[n % says.length](room, { text, format })) taken.push(text);
    }
    assert.ok(taken.length >= LEAST_TAKEN, `${taken.length} of ${HOSTILE.length}`);
    await until("all are here", async () => (await rows(ada).count()) === taken.length);
    if (format === "plain")
      assert.deepEqual(
        await saved(ada),
        taken.map((text) => text.toWellFormed?.() ?? text),
      );
    assert.deepEqual(await ada.evaluate(found, [...MAY_BE]), []);
    assert.equal(
      await row(ada, "onerror").first().locator(".name").textContent(),
      HOSTILE_NAMES[0],
    );
    assert.deepEqual(await tooWide(ada), []);
    // What shows only under the pointer, such as tools.
    for (const shown of await rows(ada).all()) {
      await shown.locator("article").dispatchEvent("pointerover");
    }
    assert.deepEqual(await ada.evaluate(found, [...MAY_BE]), []);
    await ada.reload();
    await rows(ada).last().waitFor();
    assert.deepEqual(await ada.evaluate(found, [...MAY_BE]), []);
  });
}

scene("hostile names and one's own hostile text stay text", {}, async ({ person }) => {
  const [name] = HOSTILE_NAMES;
  const [evil, ada] = await Promise.all([person(name), person("Ada")]);
  const field = evil.locator("headgate-chat textarea");
  for (const text of HOSTILE.slice(0, 6)) {
    await field.fill(text);
    await field.press("Enter");
  }
  await until("all are here", async () => (await saved(ada)).length === 6);
  await field.pressSequentially("x");
  await ada.getByText(`${name} is writing…`).waitFor();
  await ada.getByText("2 here").click();
  await ada.locator(".people li").getByText(name, { exact: true }).waitFor();
  await row(ada, "onerror").first().locator("article").hover();
  await row(ada, "onerror").first().getByRole("button", { name: "Reply" }).click();
  await ada.getByText(`Reply to ${name}`).waitFor();
  for (const page of [evil, ada]) {
    assert.deepEqual(await page.evaluate(found, [...MAY_BE]), []);
    assert.equal(await page.locator("headgate-chat b").count(), 0);
  }
});

scene(
  "the policy forbids markup from text, inline scripts and other servers",
  { expects: /violation|Refused|Content Security|Trusted|Fetch API cannot load/ },
  async ({ person }) => {
    const page = await person("Ada");
    await assert.rejects(
      page.evaluate(() => {
        document.body.innerHTML = "<i>no</i>";
      }),
      /Trusted/,
    );
    await assert.rejects(
      page.evaluate(() => fetch("http://127.0.0.1:9/")),
      /Failed to fetch/,
    );
    await page
      .evaluate(() => {
        const button = document.createElement("button");
        button.setAttribute("onclick", "window.broken = true");
        button.click();
      })
      .catch(() => {});
    assert.equal(await page.evaluate(() => window.broken), undefined);
  },
);
