// Pack what would be published, and hold it against what users of it do: resolve it,
// import it without a window, and check types against it without a DOM.

import { spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const CLIENT = path.resolve(import.meta.dirname, "..");
const MODULES = path.join(CLIENT, "node_modules");
const PUBLISHED =
  /^(package\.json|README\.md|LICENSE|dist\/(index|react|grow)\.js(\.map)?|dist\/element\.js|dist\/style\.css|dist\/[a-z_/]+\.d\.ts)$/;

const place = await mkdtemp(path.join(tmpdir(), "headgate-pack-"));
try {
  const tarball = pack();
  await lint(tarball);
  run("the types of every entry resolve", place, path.join(MODULES, ".bin/attw"), [
    tarball,
    ...["--profile", "esm-only", "--exclude-entrypoints", "./style.css"],
    ...["--no-definitely-typed", "--format", "ascii"],
  ]);
  const consumer = await install(tarball);
  run("imports without a window", consumer, process.execPath, ["imports.mjs"]);
  for (const name of ["no_dom", "with_react"]) {
    // Apart: React's types bring names of the DOM along.
    run(`types: ${name}`, consumer, path.join(MODULES, ".bin/tsc"), ["-p", `${name}.json`]);
  }
} catch (error) {
  console.error(`FAILED ${error.message}`);
  process.exitCode = 1;
} finally {
  await rm(place, { recursive: true });
}

function pack() {
  const said = run("packs", CLIENT, "npm", [
    ...["pack", "--ignore-scripts", "--json", "--pack-destination", place],
  ]);
  const [{ filename, files }] = JSON.parse(said);
  const surplus = files.map((file) => file.path).filter((name) => !PUBLISHED.test(name));
  const needed = ["LICENSE", "README.md", "dist/index.js", "dist/style.css"];
  const missing = needed.filter((name) => !files.some((file) => file.path === name));
  if (surplus.length || missing.length) {
    fail("holds what it should", `surplus: ${surplus}\nmissing: ${missing}`);
  }
  return path.join(place, filename);
}

async function lint(tarball) {
  const { buffer } = await readFile(tarball).then((bytes) => new Uint8Array(bytes));
  const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true });
  const found = messages.map((message) => formatMessage(message, pkg));
  if (found.length) fail("publint", found.join("\n"));
  console.log("ok   publint");
}

/** Unpack into a project that has React, as npm would. */
async function install(tarball) {
  const consumer = path.join(place, "consumer");
  const installed = path.join(consumer, "node_modules/headgate");
  await mkdir(installed, { recursive: true });
  run("unpacks", installed, "tar", ["-xzf", tarball, "--strip-components=1"]);
  for (const name of ["react", "@types", "csstype", "undici-types"]) {
    await symlink(path.join(MODULES, name), path.join(consumer, "node_modules", name));
  }
  await cp(path.join(CLIENT, "test/consumer"), consumer, { recursive: true });
  const compilerOptions = {
    ...{ strict: true, noEmit: true, target: "ES2022", lib: ["ES2022"], types: ["node"] },
    ...{ module: "NodeNext", moduleResolution: "NodeNext", exactOptionalPropertyTypes: true },
  };
  for (const name of ["no_dom", "with_react"]) {
    const config = { compilerOptions, files: [`${name}.ts`] };
    await writeFile(path.join(consumer, `${name}.json`), JSON.stringify(config));
  }
  await writeFile(path.join(consumer, "package.json"), JSON.stringify({ type: "module" }));
  return consumer;
}

function run(what, cwd, program, args) {
  const options = { cwd, encoding: "utf8", timeout: 60_000 };
  const { status, stdout, stderr, error } = spawnSync(program, args, options);
  if (status !== 0) fail(what, `${stdout}${stderr}${error ?? ""}`);
  console.log(`ok   ${what}`);
  return stdout;
}

function fail(what, why) {
  throw new Error(`${what}:\n${why}`);
}
