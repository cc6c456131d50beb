// Plays all scenes, several at a time, in one browser. ONLY is a part of the names of
// those to be played.

import { after, describe, test } from "node:test";
import { closeBrowser } from "./stage.mjs";
import { scenes } from "./scene.mjs";
import "./network.mjs";
import "./pacing.mjs";
import "./reload.mjs";
import "./outages.mjs";
import "./conversation.mjs";
import "./history.mjs";
import "./hostile.mjs";
import "./keyboard.mjs";
import "./moderation.mjs";
import "./door.mjs";
import "./accessibility.mjs";
import "./growing.mjs";

const { ONLY = "" } = process.env;
const AT_ONCE = 4; // mostly they wait

describe("the page", { concurrency: AT_ONCE }, () => {
  for (const { name, limitMs, run } of scenes) {
    if (name.includes(ONLY)) test(name, { timeout: limitMs }, run);
  }
  after(closeBrowser);
});
