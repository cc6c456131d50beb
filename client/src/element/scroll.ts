// The scrolled box: stays at its end while one reads there, and else stays at the
// message that one reads, whatever is added or taken away around it.

import { h } from "./dom.js";

const END = 80; // px from the end that still count as the end

export interface Scroller {
  readonly element: HTMLElement;
  /** Whether the end is seen, and kept in sight. */
  following(): boolean;
  /** Change the rows, and keep what is read where it is. */
  keep(change: () => void): void;
  toEnd(): void;
  /** Show this element, and follow the end no longer, unless that is seen as well. */
  reveal(element: Element, block: ScrollLogicalPosition): void;
  stop(): void;
}

/**
 * @param list - what holds the rows
 * @param complete - whether the newest row is among those that the box has
 * @param moved - called after each scrolling, with the px above and below what is seen
 */
export function scroller(
  list: HTMLElement,
  contents: readonly HTMLElement[],
  complete: () => boolean,
  moved: (above: number, below: number) => void,
): Scroller {
  const element = h("div", { class: "scroll", scroll: onScroll }, ...contents);
  let follows = true;

  const below = (): number => element.scrollHeight - element.scrollTop - element.clientHeight;
  const look = (): void => {
    follows = complete() && below() < END;
  };
  function onScroll(): void {
    look();
    moved(element.scrollTop, below());
  }
  function toEnd(): void {
    follows = true;
    element.scrollTop = element.scrollHeight;
  }
  // Rows get their true height when they come into sight, and the box shrinks when a
  // keyboard opens below it.
  const observer = new ResizeObserver(() => {
    if (follows) toEnd();
  });
  observer.observe(list);
  observer.observe(element);

  /** The first row that is seen. */
  function anchor(): Element | undefined {
    const { top } = element.getBoundingClientRect();
    const rows = list.children;
    let low = 0;
    for (let high = rows.length; low < high;) {
      const middle = (low + high) >> 1;
      if (rows[middle]!.getBoundingClientRect().bottom > top) high = middle;
      else low = middle + 1;
    }
    return rows[low];
  }
  return {
    element,
    following: () => follows,
    keep(change) {
      if (follows) {
        change();
        return toEnd();
      }
      const row = anchor();
      const before = row?.getBoundingClientRect().top ?? 0;
      change();
      // Where the browser keeps the place by itself the difference is 0.
      if (row?.isConnected) element.scrollTop += row.getBoundingClientRect().top - before;
    },
    toEnd,
    reveal(target, block) {
      target.scrollIntoView({ block });
      look();
    },
    stop: () => observer.disconnect(),
  };
}
