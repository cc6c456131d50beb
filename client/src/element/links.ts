// Addresses in a text, as links that lead out of the page and tell nobody where from.

import { h } from "./dom.js";

/** What may stand behind `href`; everything else stays text. */
export const ADDRESS = 'https?://[^\\s<>"`]{1,2048}|mailto:[^\\s<>"`]{1,320}';

export interface Link {
  readonly tag: "a";
  readonly href: string;
  readonly children: readonly string[];
}

/** Cut off what ends the sentence and not the address: `(see https://a.example/b).` */
export function addressIn(found: string): string {
  let unopened = found.split(")").length - found.split("(").length;
  let end = found.length;
  for (; end > 0; end--) {
    const last = found[end - 1]!;
    if (last === ")" ? unopened-- <= 0 : !".,;:!?'*]}".includes(last)) break;
  }
  return found.slice(0, end);
}

/** The text, with its addresses as links. */
export function links(text: string): (string | Link)[] {
  const parts: (string | Link)[] = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(new RegExp(ADDRESS, "gi"))) {
    const href = addressIn(found);
    parts.push(text.slice(done, index), { tag: "a", href, children: [href] });
    done = index + href.length;
  }
  parts.push(text.slice(done));
  return parts.filter((part) => part !== "");
}

export function anchor({ href, children: [text = href] }: Link): HTMLAnchorElement {
  const rel = "noopener nofollow ugc";
  // The address is shown where the text does not say it.
  return h("a", { href, rel, target: "_blank", title: href !== text && href }, text);
}
