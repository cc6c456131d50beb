import fc from "fast-check";
import { expect, test } from "vitest";

import { h } from "../../src/element/dom.js";
import { links } from "../../src/element/links.js";
import { parse, patch, type Tree } from "../../src/element/markdown.js";

/** As HTML, to read; the sources never make any. */
function shown(nodes: readonly Tree[]): HTMLElement {
  const host = h("div");
  patch(host, [], nodes);
  return host;
}
const html = (nodes: readonly Tree[]): string => shown(nodes).innerHTML;
const markdown = (text: string): string => html(parse(text));
const text = (nodes: readonly Tree[]): string => shown(nodes).textContent;

test.each([
  ["plain", "<p>plain</p>"],
  ["a **b** c", "<p>a <strong>b</strong> c</p>"],
  ["a *b* c", "<p>a <em>b</em> c</p>"],
  ["**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"],
  ["***a***", "<p><strong><em>a</em></strong></p>"],
  ["5 * 3 * 2", "<p>5 * 3 * 2</p>"],
  ["*a", "<p>*a</p>"],
  ["a* b*", "<p>a* b*</p>"],
  ["*a *b*", "<p>*a <em>b</em></p>"],
  ["**a *b** c*", "<p><strong>a *b</strong> c*</p>"],
  ["`a*b*`", "<p><code>a*b*</code></p>"],
  ["a ` b", "<p>a ` b</p>"],
  ["[a]", "<p>[a]</p>"],
  ["a](https://b.example)", "<p>a](https://b.example)</p>"],
  ["one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"],
  ["> a\n>b\nc", "<blockquote>a\nb</blockquote><p>c</p>"],
  ["- a\n* *b*\nc", "<ul><li>a</li><li><em>b</em></li></ul><p>c</p>"],
  ["```js\n*a*\n\n> b\n```\nc", "<pre>*a*\n\n&gt; b</pre><p>c</p>"],
  ["```\nopen", "<pre>open</pre>"],
  ["<b>a</b> <!-- -->", "<p>&lt;b&gt;a&lt;/b&gt; &lt;!-- --&gt;</p>"],
  ["", ""],
])("%j", (source, expected) => {
  expect(markdown(source)).toBe(expected);
});

test("a link leads out, and shows where to", () => {
  expect(markdown("[a **b**](https://c.example/?d=1)")).toBe(
    '<p><a href="https://c.example/?d=1" rel="noopener nofollow ugc" target="_blank" title="https://c.example/?d=1">a **b**</a></p>'.replace(
      "a **b**",
      "a b",
    ),
  );
});

test("an address in bold is one", () => {
  expect(markdown("**see https://a.example/b**")).toMatch(
    /^<p><strong>see <a href="https:\/\/a.example\/b" [^>]*>https:\/\/a.example\/b<\/a><\/strong><\/p>$/,
  );
});

test.each([
  "javascript:alert(1)",
  "data:text/html,x",
  "JaVaScRiPt:alert(1)",
  "vbscript:x",
  "//a.example",
  "file:///etc/passwd",
  " javascript:x",
])("%s is never an address", (address) => {
  for (const nodes of [parse(`[a](${address})`), parse(address), links(address)]) {
    expect(html(nodes)).not.toContain("<a");
  }
});

test.each([
  ["see https://a.example/b.", "https://a.example/b"],
  ["(https://a.example/b)", "https://a.example/b"],
  ["https://a.example/b_(c)", "https://a.example/b_(c)"],
  ["(see https://a.example/b_(c))!", "https://a.example/b_(c)"],
  ["mailto:ada@a.example, please", "mailto:ada@a.example"],
  ["HTTPS://A.EXAMPLE", "HTTPS://A.EXAMPLE"],
])("the address in %j", (source, address) => {
  const found = links(source).filter((part) => typeof part === "object");
  expect(found.map(({ href }) => href)).toEqual([address]);
  expect(text(links(source))).toBe(source);
});

const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "*",
        "**",
        "`",
        "```",
        "[",
        "](",
        "](https://a.b)",
        "\n",
        "> ",
        "- ",
        " ",
        ")",
      ),
      fc.constantFrom("https://", "https://a.b/*c*", "mailto:x", "javascript:", "<b>", "&lt;"),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""));

test("whatever the text, nothing is thrown, and nothing comes but what it has", () => {
  fc.assert(
    fc.property(hostile, (source) => {
      const said = text(parse(source));
      // Marks are taken away, nothing is added, and the order stays.
      let at = 0;
      for (const character of said) {
        at = source.indexOf(character, at);
        expect(at).toBeGreaterThanOrEqual(0);
        at += character.length;
      }
      for (const anchor of shown(parse(source)).querySelectorAll("a")) {
        expect(anchor.getAttribute("href")).toMatch(/^(https?:\/\/|mailto:)/i);
      }
      expect(text(links(source))).toBe(source);
    }),
    { numRuns: 2_000 },
  );
});

test("nodes nest no deeper than there are kinds of marks", () => {
  const depth = (node: Tree): number =>
    typeof node === "string" ? 0 : 1 + Math.max(0, ...node.children.map(depth));
  fc.assert(
    fc.property(hostile, (source) => {
      for (const block of parse(source)) expect(depth(block)).toBeLessThanOrEqual(5);
    }),
  );
});

test.each([
  "*",
  "**",
  "`",
  "```\n",
  "[",
  "](",
  "[a](https://b",
  "https://a",
  "https://)",
  "> ",
  "- ",
  "*a ",
  " *a*",
  "**a*",
  ")",
  "!",
  "\n",
])("100 kB of %j take no time", (part) => {
  const source = part.repeat(Math.ceil(100_000 / part.length));
  const started = performance.now();
  parse(source);
  links(source);
  expect(performance.now() - started).toBeLessThan(500);
});

// --- a text that grows ---

test("what is open at the end of a growing text is shown as it will be", () => {
  const growing = (source: string): string => html(parse(source, true));
  expect(growing("a **bo")).toBe("<p>a <strong>bo</strong></p>");
  expect(growing("a **bo*")).toBe("<p>a <strong>bo</strong></p>");
  expect(growing("a *b **c")).toBe("<p>a <em>b <strong>c</strong></em></p>");
  expect(growing("a **")).toBe("<p>a </p>");
  expect(growing("a **bo\n")).toBe("<p>a <strong>bo</strong></p>");
  expect(growing("- one\n- **tw")).toBe("<ul><li>one</li><li><strong>tw</strong></li></ul>");
  expect(growing("> *a")).toBe("<blockquote><em>a</em></blockquote>");
  expect(growing("```\na **b")).toBe("<pre>a **b</pre>");
  expect(growing("see [a](https://a.ex")).toContain("[a");
  // Before the end it is as it is.
  expect(growing("a **b\n\nc **d")).toBe("<p>a **b</p><p>c <strong>d</strong></p>");
  expect(markdown("a **bo")).toBe("<p>a **bo</p>");
});

test("however a text grows, what is shown is what it says, and ends as if it had come at once", () => {
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 8 }), (parts) => {
      const host = h("div");
      let old: readonly Tree[] = [];
      let source = "";
      for (const [index, part] of [...parts, ""].entries()) {
        source += part;
        const nodes = parse(source, index < parts.length);
        patch(host, old, nodes);
        old = nodes;
        expect(host.innerHTML).toBe(html(nodes));
      }
      expect(host.innerHTML).toBe(markdown(source));
    }),
    { numRuns: 500 },
  );
});

test("of a text that grows no node is touched but that at its end", () => {
  const host = h("div");
  const steps = [
    "one [l](https://a.example)\n\ntwo **th",
    "one [l](https://a.example)\n\ntwo **three",
  ];
  const [before, after] = steps.map((source) => parse(source, true));
  patch(host, [], before!);
  const strong = host.querySelector("strong")!;
  const [link, end] = [host.querySelector("a"), strong.firstChild as Text];
  const changes: unknown[] = [];
  const observer = new MutationObserver((records) => changes.push(...records));
  observer.observe(host, { subtree: true, childList: true, characterData: true });
  patch(host, before!, after!);
  const found = observer.takeRecords();
  expect([...changes, ...found].length).toBeLessThanOrEqual(1);
  expect(host.querySelector("a")).toBe(link);
  expect(host.querySelector("strong")).toBe(strong);
  expect(strong.firstChild).toBe(end);
  expect(end.data).toBe("three");
});
