// The package as it is installed, in plain Node: importing asks for no window, and the
// core opens nothing.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

assert.equal(typeof window, "undefined");
assert.equal(typeof HTMLElement, "undefined");

const core = await import("headgate");
const react = await import("headgate/react");
const growing = await import("headgate/grow");
const element = await import("headgate/element");

assert.deepEqual(
  ["ChatError", "createClient", "debounce", "throttle"].filter(
    (name) => typeof core[name] !== "function",
  ),
  [],
);
assert.deepEqual(Object.keys(react).sort(), [
  "HeadgateProvider",
  "useAllowance",
  "useClient",
  "useConnection",
  "useDraft",
  "useOutbox",
  "usePresence",
  "useRoom",
  "useTypists",
]);
assert.deepEqual(Object.keys(growing), ["grow"]);
assert.ok(element);

const client = core.createClient({ bootstrap: "https://chat.example/connect" });
assert.equal(client.state.get().status, "idle");
client.close();

// Frameworks with server components look for this in front of all code.
const hooks = await readFile(fileURLToPath(import.meta.resolve("headgate/react")), "utf8");
assert.match(hooks, /^(\/\*[^*]*\*\/\s*)?"use client";/);

// Whoever holds a timer or a socket open would keep this process from ending.
