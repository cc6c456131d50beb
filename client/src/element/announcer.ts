// What is said to whoever hears the page: never more than one thing in 1.5 s, and a
// burst of messages as their number.

import { h, put } from "./dom.js";
import type { Translator } from "./strings.js";

const PAUSE_MS = 1_500;
const LONGEST = 200; // characters of a message that are read out by themselves

export interface Announcer {
  readonly elements: readonly HTMLElement[];
  say(text: string, urgent?: boolean): void;
  message(name: string, text: string): void;
  stop(): void;
}

export function announcer({ t, count }: Translator): Announcer {
  const polite = h("p", { class: "unseen", role: "status" });
  const assertive = h("p", { class: "unseen", role: "alert" });
  let texts: string[] = [];
  let messages: string[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  function next(): void {
    timer = undefined;
    if (messages.length > 2) messages = [count("new_messages", messages.length)];
    const text = [...texts, ...messages].join(" ");
    texts = [];
    messages = [];
    if (!text) return;
    // The same words again are a change only if something differs.
    put(polite, text === polite.textContent ? text + "\u00a0" : text);
    timer = setTimeout(next, PAUSE_MS);
  }
  const soon = (): void => {
    timer ??= setTimeout(next);
  };
  return {
    elements: [polite, assertive],
    say(text, urgent) {
      if (urgent) return put(assertive, text);
      texts = [...texts.slice(-2), text];
      soon();
    },
    message(name, text) {
      messages.push(t("says", { name, text: text.slice(0, LONGEST) }));
      soon();
    },
    stop: () => clearTimeout(timer),
  };
}
