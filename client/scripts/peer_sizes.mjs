// What other clients weigh, beside this one: all that a package exports, bundled and
// minified for browsers by esbuild, and gzipped.
//
//   node scripts/peer_sizes.mjs [PACKAGE[@VERSION] …]
//
// They are installed into a temporary folder, without running anything of theirs.

import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const PEERS = [
  "phoenix",
  "socket.io-client",
  "@supabase/realtime-js",
  "pusher-js",
  "centrifuge",
  "ably",
  "stream-chat",
];
const DIST = path.resolve(import.meta.dirname, "../dist");

const asked = process.argv.slice(2);
const wanted = asked.length ? asked : PEERS;
const place = await mkdtemp(path.join(tmpdir(), "headgate-peers-"));
try {
  await writeFile(path.join(place, "package.json"), '{"private": true}');
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"];
  const { status } = spawnSync("npm", ["install", ...options, ...wanted], {
    cwd: place,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new Error("npm could not install them.");
  for (const each of wanted) {
    const name = each.replace(/(?<=.)@.*$/, "");
    const manifest = path.join(place, "node_modules", name, "package.json");
    const { version } = JSON.parse(await readFile(manifest));
    say(`${name} ${version}`, await bundled(`export * from ${JSON.stringify(name)};`));
  }
  for (const name of ["index.js", "element.js"]) {
    const contents = `export * from ${JSON.stringify(path.join(DIST, name))};`;
    say(`headgate's ${name}`, await bundled(contents));
  }
} finally {
  await rm(place, { recursive: true });
}

async function bundled(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: place },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    legalComments: "none",
    logLevel: "error",
    write: false,
  });
  return outputFiles[0].contents;
}

function say(name, bytes) {
  const gzipped = gzipSync(bytes, { level: 9 }).length;
  console.log(
    `${name.padEnd(32)} ${String(gzipped).padStart(7)} bytes gzipped, ${bytes.length} before`,
  );
}
