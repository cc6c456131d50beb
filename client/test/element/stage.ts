// A chat on a page, with a client whose state the test sets and a clock that it moves.

import { vi } from "vitest";

import { chat } from "../../src/element/chat.js";
import type { Config, Lease } from "../../src/element/shared_client.js";
import { fakeClient, fakeLease, type FakeClient, type FakeRoom } from "./fake_client.js";

export interface Stage {
  readonly client: FakeClient;
  readonly room: FakeRoom;
  readonly lease: Lease;
  readonly page: HTMLElement;
  /** The first element that fits; fails where there is none. */
  find<T extends HTMLElement = HTMLElement>(selector: string): T;
  all(selector: string): HTMLElement[];
  /** The texts of what fits. */
  texts(selector: string): string[];
  /** Pass a frame, or so many ms. */
  pass(ms?: number): Promise<void>;
  press(target: Element, key: string, more?: KeyboardEventInit): KeyboardEvent;
  click(selector: string, label?: string): void;
  type(text: string): void;
  /** Give each row a height, and the box one that is less. */
  layOut(): Box;
  stop(): void;
}

export interface Box {
  readonly element: HTMLElement;
  scrollTo(top: number): void;
}

export const ROW_PX = 40;
export const BOX_PX = 600;

/** happy-dom lays out nothing: rows of one height under each other, in a box that scrolls. */
function layOut(element: HTMLElement): Box {
  let top = 0;
  const rows = (): Element[] => [...element.querySelectorAll("li[data-key]")];
  const height = (): number => rows().length * ROW_PX;
  const clamp = (wanted: number): number => Math.max(0, Math.min(wanted, height() - BOX_PX));
  Object.defineProperties(element, {
    clientHeight: { get: () => BOX_PX },
    scrollHeight: { get: height },
    scrollTop: {
      get: () => clamp(top),
      set(wanted: number) {
        top = clamp(wanted);
      },
    },
  });
  const rect = vi.spyOn(Element.prototype, "getBoundingClientRect");
  rect.mockImplementation(function (this: Element) {
    const index = rows().indexOf(this);
    const y = index < 0 ? 0 : index * ROW_PX - element.scrollTop;
    return new DOMRect(0, y, 100, index < 0 ? BOX_PX : ROW_PX);
  });
  return {
    element,
    scrollTo(wanted) {
      element.scrollTop = wanted;
      element.dispatchEvent(new Event("scroll"));
    },
  };
}

export const FRAME_MS = 20;

export function stage(
  config: Config = {},
  before?: (room: FakeRoom, client: FakeClient) => void,
): Stage {
  vi.useFakeTimers({ now: new Date(2026, 0, 15, 18) });
  document.body.replaceChildren();
  const client = fakeClient();
  const room = client.room("general");
  before?.(room, client);
  const lease = fakeLease(client);
  const shown = chat(lease, "general", "en", config, []);
  const page = document.createElement("div");
  page.append(...shown.elements);
  document.body.append(page);

  const all = (selector: string): HTMLElement[] => [
    ...page.querySelectorAll<HTMLElement>(selector),
  ];
  function find<T extends HTMLElement>(selector: string): T {
    const found = page.querySelector<T>(selector);
    if (!found) throw new Error(`There is no ${selector}.`);
    return found;
  }
  return {
    client,
    room,
    lease,
    page,
    find,
    all,
    texts: (selector) => all(selector).map(({ textContent }) => textContent),
    async pass(ms = FRAME_MS) {
      await vi.advanceTimersByTimeAsync(ms);
    },
    press(target, key, more = {}) {
      const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
      target.dispatchEvent(event);
      return event;
    },
    click(selector, label) {
      const target = all(selector).find(({ textContent }) => !label || textContent === label);
      if (!target) throw new Error(`There is no ${selector} "${label ?? ""}".`);
      target.click();
    },
    type(text) {
      const field = find<HTMLTextAreaElement>("textarea");
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    },
    layOut: () => layOut(find(".scroll")),
    stop() {
      shown.stop();
      page.remove();
      vi.useRealTimers();
    },
  };
}
