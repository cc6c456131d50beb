// What the pages say of the package: examples that compile, and names that are there.

import { readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const CLIENT = path.resolve(import.meta.dirname, "../..");
const DOCS = path.resolve(CLIENT, "../docs");
const REFERENCE = path.join(DOCS, "reference/javascript.md");
const README = path.join(CLIENT, "README.md");
const PAGES = [
  README,
  path.join(DOCS, "how-to/react.md"),
  path.join(DOCS, "how-to/next-node-react-native.md"),
];
const ENTRIES = ["index", "react", "grow", "element"].map((name) =>
  path.join(CLIENT, `src/${name}.ts`),
);
const OPTIONS: ts.CompilerOptions = {
  ...ts.parseJsonConfigFileContent(
    ts.readConfigFile(path.join(CLIENT, "tsconfig.json"), (file) => ts.sys.readFile(file)).config,
    ts.sys,
    CLIENT,
  ).options,
  jsx: ts.JsxEmit.ReactJSX,
  // Examples show a thing that is there and is used by nobody.
  noUnusedLocals: false,
  paths: {
    headgate: ["./src/index.ts"],
    "headgate/react": ["./src/react.ts"],
    "headgate/grow": ["./src/grow.ts"],
    "headgate/element": ["./src/element.ts"],
    "headgate/style.css": ["./test/docs/elsewhere.d.ts"],
  },
};

/** The examples of all pages, by a name in the folder of this file. */
const examples = new Map<string, string>();
for (const page of PAGES) {
  const text = readFileSync(page, "utf8");
  for (const { 1: language, 2: code, index } of text.matchAll(/^```(tsx?)\n([^]*?)^```$/gm)) {
    const line = text.slice(0, index).split("\n").length;
    const name = `${path.basename(page, ".md")}_line_${line}.${language!}`;
    // Each is a module of its own, with names of its own.
    examples.set(path.join(import.meta.dirname, name), `${code!}\nexport {};\n`);
  }
}

function compile(): ts.Program {
  const host = ts.createCompilerHost(OPTIONS);
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (file) => examples.get(file) ?? readFile(file);
  host.fileExists = (file) => examples.has(file) || fileExists(file);
  host.getSourceFile = (file, ...rest) => {
    const code = examples.get(file);
    if (code === undefined) return getSourceFile(file, ...rest);
    return ts.createSourceFile(file, code, rest[0], true);
  };
  const shims = path.join(import.meta.dirname, "elsewhere.d.ts");
  return ts.createProgram([...examples.keys(), ...ENTRIES, shims], OPTIONS, host);
}
const program = compile();
const checker = program.getTypeChecker();

function exportsOf(entry: string): ts.Symbol[] {
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!;
  return checker.getExportsOfModule(module);
}

/** The names in the first column of a table, and of what follows them up to a space. */
function named(text: string): Set<string> {
  return new Set([...text.matchAll(/`(?:new )?([A-Za-z][\w.]*)/g)].map((found) => found[1]!));
}

/** The rows of the table of options. */
function optionRows(page: string): string[] {
  const table = /^\| option \|.*\n\|.*\n((?:\|.*\n)+)/m.exec(readFileSync(page, "utf8"));
  return table![1]!.trim().split("\n");
}

test("every example compiles", { timeout: 60_000 }, () => {
  expect(examples.size).toBeGreaterThan(8);
  const found = [...examples.keys()].flatMap((name) => {
    const file = program.getSourceFile(name)!;
    const wrong = [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ];
    return wrong.map(
      (each) => `${path.basename(name)}: ${ts.flattenDiagnosticMessageText(each.messageText, " ")}`,
    );
  });
  expect(found).toEqual([]);
});

test("the reference names all that is exported", () => {
  const names = named(readFileSync(REFERENCE, "utf8"));
  const missing = ENTRIES.flatMap((entry) => exportsOf(entry))
    .map((symbol) => symbol.name)
    .filter((name) => !names.has(name));
  expect(missing).toEqual([]);
});

function membersOf(name: string): string[] {
  return propertiesOf(name).map((member) => member.name);
}

/** The members of a type that the package exports. */
function propertiesOf(name: string): ts.Symbol[] {
  const symbol = exportsOf(ENTRIES[0]!).find((each) => each.name === name)!;
  const isAlias = symbol.flags & ts.SymbolFlags.Alias;
  const type = checker.getDeclaredTypeOfSymbol(isAlias ? checker.getAliasedSymbol(symbol) : symbol);
  return type.getProperties();
}

/** The names in the first column of the first table below a heading. */
function tabledBelow(heading: string): string[] {
  const pattern = new RegExp(`^### \`${heading}\`\n[^]*?^\\|.*\n\\|.*\n((?:\\|.*\n)+)`, "m");
  const rows = pattern.exec(readFileSync(REFERENCE, "utf8"))![1]!.trim().split("\n");
  return rows.flatMap((row) => {
    const cell = /^\| (.*?) \| /.exec(row)![1]!;
    return [...cell.matchAll(/(?:^|, )`(\w+)/g)].map((found) => found[1]!);
  });
}

test.each([
  ["Client", []],
  ["Room", []],
  ["Store", []],
  ["Timeline", []],
  ["Outgoing", ["Draft"]],
  ["Allowance", []],
  ["Limit", []],
  ["PacedQueue", []],
])("the reference has each member of %s, and no others", (name, besides) => {
  const elsewhere = new Set(besides.flatMap(membersOf));
  const own = membersOf(name).filter((member) => !elsewhere.has(member));
  expect(own.length).toBeGreaterThan(1);
  expect(tabledBelow(name).sort()).toEqual(own.filter((each) => !each.startsWith("_")).sort());
});

test("the options are those of the types, on both pages", () => {
  const rows = optionRows(README);
  expect(optionRows(REFERENCE)).toEqual(rows);
  const told = rows.flatMap((row) => {
    const names = [...row.split(" | ")[0]!.matchAll(/`([\w.]+)`/g)].map((found) => found[1]!);
    // `outbox.maxItems`, `maxBytes`: the second belongs to the same group.
    const group = /^\w+\./.exec(names[0]!)?.[0] ?? "";
    return names.map((name) => (name.startsWith(group) ? name : group + name));
  });
  const names = propertiesOf("ClientOptions").flatMap((option) => {
    if (option.name !== "reconnect" && option.name !== "outbox") return [option.name];
    const group = checker.getNonNullableType(checker.getTypeOfSymbol(option));
    return group.getProperties().map((each) => `${option.name}.${each.name}`);
  });
  expect(told.sort()).toEqual(names.sort());
});
