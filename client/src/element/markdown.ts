// A part of Markdown, as a tree: **bold**, *italic*, `code`, fenced blocks, > quotes,
// - lists, [links](https://…). Text that is none of these stays as it is.
//
// Whoever writes can write anything: so it is one pass over the text, without a way
// back, and inline marks nest no deeper than there are kinds of them.

import { h } from "./dom.js";
import { ADDRESS, addressIn, anchor, type Link } from "./links.js";

export interface Marked {
  readonly tag: "strong" | "em" | "code" | "p" | "pre" | "blockquote" | "ul" | "li";
  readonly children: readonly Tree[];
}
export type Tree = string | Link | Marked;

// 1: code, 2: stars, 3: a link's beginning, 4: the address at its end, 5: an address
const MARKS = `\`([^\`\\n]+)\`|(\\*\\*?)|(\\[)|\\]\\(((?:https?://|mailto:)[^\\s()<>"]{1,2048})\\)|(${ADDRESS})`;

/** The text of nodes, without what they look like. */
const plain = (nodes: readonly Tree[]): string =>
  nodes.map((node) => (typeof node === "string" ? node : plain(node.children))).join("");

/**
 * What stands in one paragraph.
 *
 * @param grows - its end is still to come, and closes what is open
 */
function inline(text: string, grows = false): Tree[] {
  const marks = new RegExp(MARKS, "gi");
  const nodes: Tree[] = [];
  // What was opened: the mark, and where it stands among the nodes. Each is there once.
  const open: { mark: string; at: number }[] = [];
  const close = (mark: string): number => {
    const level = open.findIndex((opened) => opened.mark === mark);
    return level < 0 ? -1 : open.splice(level)[0]!.at;
  };
  const begin = (mark: string): void => {
    close(mark);
    open.push({ mark, at: nodes.length });
    nodes.push(mark);
  };
  const enclose = (mark: string, at: number): void => {
    const children = nodes.splice(at).slice(1);
    nodes.push({ tag: mark === "*" ? "em" : "strong", children });
  };
  let done = 0;
  for (let match; (match = marks.exec(text)); marks.lastIndex = done) {
    const [whole, code, stars, bracket, target, address] = match;
    if (match.index > done) nodes.push(text.slice(done, match.index));
    done = marks.lastIndex;
    if (code) {
      nodes.push({ tag: "code", children: [code] });
    } else if (bracket) {
      begin(bracket);
    } else if (target) {
      const at = close("[");
      const inside = at < 0 ? [] : nodes.splice(at).slice(1);
      nodes.push(at < 0 ? whole : { tag: "a", href: target, children: [plain(inside)] });
    } else if (address) {
      const href = addressIn(address);
      done = match.index + href.length;
      nodes.push({ tag: "a", href, children: [href] });
    } else {
      let mark = stars!;
      // In `***` the inner mark ends first.
      if (open.at(-1)?.mark === "*" && text.startsWith("***", match.index)) mark = "*";
      done = match.index + mark.length;
      const at = /\S/.test(text[match.index - 1] ?? " ") ? close(mark) : -1;
      if (at >= 0) enclose(mark, at);
      else if (/\S/.test(text[done] ?? " ")) begin(mark);
      // At the end it may be half of a mark.
      else if (!grows || done < text.length) nodes.push(mark);
    }
  }
  nodes.push(text.slice(done));
  if (grows) {
    for (const { mark, at } of open.reverse()) if (mark !== "[") enclose(mark, at);
  }
  return nodes.filter((node) => node !== "");
}

const FENCE = /^```/;
const QUOTE = /^> ?/;
const ITEM = /^[-*] /;

/** @param grows - the text goes on, or should have: what is open at its end is closed there */
export function parse(text: string, grows = false): Marked[] {
  const blocks: Marked[] = [];
  const lines = (grows ? text.trimEnd() : text).split("\n");
  let next = 0;
  /** The lines from here on that are such ones. */
  const run = (fits: (line: string) => boolean): string[] => {
    const from = next;
    while (next < lines.length && fits(lines[next]!)) next++;
    return lines.slice(from, next);
  };
  const ends = (): boolean => grows && next >= lines.length;
  while (next < lines.length) {
    const line = lines[next]!;
    if (FENCE.test(line)) {
      next++;
      blocks.push({ tag: "pre", children: [run((other) => !FENCE.test(other)).join("\n")] });
      next++;
    } else if (QUOTE.test(line)) {
      const quoted = run((other) => QUOTE.test(other)).map((other) => other.replace(QUOTE, ""));
      blocks.push({ tag: "blockquote", children: inline(quoted.join("\n"), ends()) });
    } else if (ITEM.test(line)) {
      const items = run((other) => ITEM.test(other));
      const children = items.map((item, index): Marked => ({
        tag: "li",
        children: inline(item.slice(2), ends() && index === items.length - 1),
      }));
      blocks.push({ tag: "ul", children });
    } else if (!line.trim()) {
      next++;
    } else {
      const block = (other: string): boolean =>
        !other.trim() || FENCE.test(other) || QUOTE.test(other) || ITEM.test(other);
      blocks.push({ tag: "p", children: inline(run((other) => !block(other)).join("\n"), ends()) });
    }
  }
  return blocks;
}

/** Turn what `host` shows of some nodes into others, and touch only what is another. */
export function patch(host: Node, old: readonly Tree[], nodes: readonly Tree[]): void {
  for (const [index, node] of nodes.entries()) {
    const was = old[index];
    const there = host.childNodes[index];
    if (!there || was === undefined) host.appendChild(made(node));
    else if (typeof node === "string" && typeof was === "string") {
      if (node === was) continue;
      // What is selected in a text stays so while it grows.
      if (node.startsWith(was)) (there as Text).appendData(node.slice(was.length));
      else (there as Text).data = node;
    } else if (isMarked(node) && isMarked(was) && node.tag === was.tag) {
      patch(there, was.children, node.children);
    } else if (JSON.stringify(node) !== JSON.stringify(was)) there.replaceWith(made(node));
  }
  while (host.childNodes.length > nodes.length) host.lastChild!.remove();
}
const isMarked = (node: Tree): node is Marked => typeof node !== "string" && node.tag !== "a";

const made = (node: Tree): Node =>
  typeof node === "string"
    ? document.createTextNode(node)
    : node.tag === "a"
      ? anchor(node)
      : h(node.tag, {}, ...node.children.map(made));
