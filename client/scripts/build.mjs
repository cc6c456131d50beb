// Build dist/, and from it the bundle that the Python package carries.
//
// With --check the bundle is compared with the committed one, and not written.

import { spawnSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";
import { minify } from "terser";

const CLIENT = path.resolve(import.meta.dirname, "..");
const DIST = path.join(CLIENT, "dist");
const BUNDLE = path.resolve(CLIENT, "../src/headgate/web/static/headgate_web");
const COMMITTED = { "chat.js": "element.js", "chat.css": "style.css", "client.js": "index.js" };

const { version, license } = JSON.parse(await readFile(path.join(CLIENT, "package.json")));
const notice = `headgate ${version}, ${license}; built from client/src by \`npm run build\``;

const common = {
  absWorkingDir: CLIENT,
  outdir: DIST,
  bundle: true,
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};

await rm(DIST, { recursive: true, force: true });
await mkdir(DIST, { recursive: true });
// Each by itself: the names in one file do not depend on what is in another.
await Promise.all([
  script("index"),
  script("react", { external: ["react"] }),
  script("grow", { external: ["./index.js"] }),
  // No map: the hashing static storages of Django follow its comment, and it is not there.
  script("element", { sourcemap: false }),
  build({
    ...common,
    entryPoints: ["src/style.css"],
    target: ["chrome123", "firefox120", "safari17.5"],
    banner: { css: `/* ${notice} */` },
  }),
]);
writeDeclarations();
await bundle({ check: process.argv.includes("--check") });

/** Bundle `src/<name>.ts`, and make it small: esbuild first, and terser what that leaves. */
async function script(name, options) {
  const { outputFiles } = await build({
    ...common,
    entryPoints: [`src/${name}.ts`],
    write: false,
    format: "esm",
    target: "es2022",
    platform: "browser",
    sourcemap: "external",
    // Private members; two underscores are the language's own, such as `__proto__`.
    mangleProps: /^_[^_]/,
    ...options,
  });
  const text = (ending) => outputFiles.find((file) => file.path.endsWith(ending))?.text;
  const content = text(".js.map");
  const { code, map } = await minify(text(".js"), {
    module: true,
    // Functions that stand together are alike, which is what gzip looks for.
    // `"use client"` is a directive that it does not know.
    compress: { ecma: 2020, hoist_funs: true, directives: false },
    format: { ecma: 2020, preamble: `/* ${notice} */` },
    sourceMap: content && {
      ...{ content, includeSources: true },
      ...{ filename: `${name}.js`, url: `${name}.js.map` },
    },
  });
  await writeFile(path.join(DIST, `${name}.js`), `${code}\n`);
  if (map) await writeFile(path.join(DIST, `${name}.js.map`), map);
}

function writeDeclarations() {
  const tsc = path.join(CLIENT, "node_modules/typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
    cwd: CLIENT,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(1);
}

async function bundle({ check }) {
  await mkdir(BUNDLE, { recursive: true });
  for (const [name, source] of Object.entries(COMMITTED)) {
    const built = await readFile(path.join(DIST, source), "utf8");
    // The map is not there, and Django's hashing static storages would look for it.
    const made = Buffer.from(built.replace(/^\/\/# sourceMappingURL=.*\n/m, ""));
    const file = path.join(BUNDLE, name);
    if (!check) {
      await writeFile(file, made);
    } else if (!made.equals(await readFile(file).catch(() => Buffer.alloc(0)))) {
      console.error(`${file} is not what the sources give: run \`npm run build\` in client/.`);
      process.exitCode = 1;
    }
  }
}
