// What each entry weighs, and whether that is too much.

import { readFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

const DIST = path.resolve(import.meta.dirname, "../dist");
// What they weigh, and a little: whoever adds more decides to, here.
const BUDGETS_KIB = {
  "index.js": 15,
  "react.js": 1.5,
  "grow.js": 1,
  "element.js": 27.5,
  "style.css": 4,
};

let over = false;
for (const [name, budget] of Object.entries(BUDGETS_KIB)) {
  const bytes = readFileSync(path.join(DIST, name));
  const gzipped = gzipSync(bytes, { level: 9 }).length;
  const fits = gzipped <= budget * 1024;
  over ||= !fits;
  const kib = (gzipped / 1024).toFixed(2).padStart(6);
  console.log(
    `${fits ? "ok  " : "OVER"} ${name.padEnd(11)} ${kib} KiB gzipped of ${budget}` +
      `  (${gzipped} bytes, ${bytes.length} before)`,
  );
}
if (over) process.exit(1);
