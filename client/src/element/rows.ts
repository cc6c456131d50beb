// The messages as rows: at most 300 of them are in the page, wherever one reads in what
// is loaded. What one has not changed is not touched.

import type { Author, Gap, Message, Outgoing, Timeline } from "../types.js";
import { button, h, present, put } from "./dom.js";
import {
  createRow,
  gapLine,
  grows,
  isUnsent,
  type Item,
  type Row,
  type RowActions,
} from "./row.js";
import { isMe, type Part, type Scene } from "./scene.js";
import { scroller } from "./scroll.js";

const WINDOW = 300; // messages in the page; beside them stand those that are unsent
const STEP = 100; // messages by which the window moves
const NEAR = 600; // px from the window's edge at which it does
const TOGETHER_MS = 300_000; // an author who goes on within this time is named once
const PAGES = 20; // pages that are loaded to find an older message

export interface Rows extends Part {
  readonly list: HTMLElement;
  /** The row that an element is in. */
  rowOf(target: EventTarget | null): Row | undefined;
  /** Show and focus a message, loading what is older until it is there. */
  jump(seq: number): Promise<void>;
  /** Whether the newest message is seen. */
  atEnd(): boolean;
  toEnd(): void;
  /** Messages of others after what was seen at the end. */
  below(): number;
  /** Mark as new what comes from now on, or no longer. */
  away(on: boolean): void;
  stop(): void;
}

type Actions = Omit<RowActions, "jump">;

export function rows(scene: Scene, around: HTMLElement, actions: Actions): Rows {
  const { client, room, words, times } = scene;
  const list = h("ol", { class: "messages" });
  const older = button(words.t("older"), () => earlier(), "quiet older");
  const tail = h("div");
  const shown = new Map<string, Row>();
  // The first message of the window; null: as many as fit, up to the newest.
  let from: number | null = null;
  let atNewest = true;
  // The last message that was there when the end was seen.
  let seen = 0;
  // What comes after this seq is marked as new; null: not known yet.
  let line: number | null = null;
  let retryAt = 0;
  // What is left out after the last message.
  let missing: Gap | undefined;

  const contents = [older, around, list, tail];
  const box = scroller(
    list,
    contents,
    () => atNewest,
    (above, below) => {
      if (above < NEAR && Date.now() > retryAt && (from !== 0 || room.timeline.get().hasOlder)) {
        earlier();
      } else if (below < NEAR && !atNewest) {
        const { messages } = room.timeline.get();
        move(messages[indexOf(messages, from ?? 0) + STEP]?.seq ?? null);
      } else scene.refresh();
    },
  );

  function move(seq: number | null): void {
    from = seq;
    update();
  }

  function earlier(): void {
    const { messages, loadingOlder, hasOlder } = room.timeline.get();
    const start = from === null ? messages.length - WINDOW : indexOf(messages, from);
    const next = start - STEP;
    move(next > 0 ? messages[next]!.seq : 0);
    if (next > 0 || loadingOlder || !hasOlder) return;
    room.loadOlder().catch((error: unknown) => {
      retryAt = Date.now() + 5_000;
      scene.failed(error);
    });
  }

  function update(): void {
    const timeline = room.timeline.get();
    const { messages, unsent, status } = timeline;
    const arriving = line === null && status === "live";
    // To whoever has never been here, nothing is new.
    if (arriving) line = timeline.unread > 0 && timeline.read > 0 ? timeline.read : Infinity;
    if (!box.following()) from ??= messages[Math.max(0, messages.length - WINDOW)]?.seq ?? null;
    else if (atNewest) from = null;
    const start = Math.max(0, from === null ? messages.length - WINDOW : indexOf(messages, from));
    const part = messages.slice(start, start + WINDOW);
    atNewest = start + WINDOW >= messages.length;
    const items = itemsOf(timeline, part, atNewest ? unsent : []);
    box.keep(() => {
      older.hidden = start === 0 && !timeline.hasOlder;
      put(older, words.t(timeline.loadingOlder ? "loading" : "older"));
      patch(items);
      const last = messages.at(-1)?.seq ?? 0;
      const gap = atNewest ? timeline.gaps.find(({ from: first }) => first > last) : undefined;
      if (gap !== missing)
        tail.replaceChildren(...present([gap && gapLine(words, gap, actions.fill)]));
      missing = gap;
    });
    const fresh = arriving && list.querySelector(".new");
    if (fresh) {
      seen = timeline.read;
      box.reveal(fresh, "center");
    }
    if (box.following()) seen = messages.at(-1)?.seq ?? 0;
  }

  /** What each row shall show, by the row's key. */
  function itemsOf(
    timeline: Timeline,
    part: readonly Message[],
    unsent: readonly Outgoing[],
  ): Map<string, Item> {
    const items = new Map<string, Item>();
    const me = client.user.get() ?? { id: "", kind: "guest", name: "" };
    const pictures = new Map<string, string | undefined>();
    for (const { author } of part) pictures.set(author.id, author.avatar_url);
    const { gaps, messages, moderates } = timeline;
    let before: { author: Author; at: number; day: string; seq: number } | undefined;
    let fresh = false;
    for (const message of [...part, ...unsent]) {
      const mine = isUnsent(message);
      const author = mine ? me : message.author;
      const own = mine || isMe(client, author);
      const date = new Date(mine ? message.created : message.at);
      const day = date.toDateString();
      const at = date.getTime();
      const seq = mine ? Infinity : message.seq;
      const isFresh: boolean = !fresh && !own && line !== null && seq > line;
      const gap = gaps.find(({ to }) => to < seq && to > (before?.seq ?? seq - 1));
      // One's own message keeps its row when it is saved.
      const key = own && message.client_id ? `c${message.client_id}` : `s${seq}`;
      const quoted = message.reply_to ? find(messages, message.reply_to) : undefined;
      items.set(key, {
        message,
        author,
        own,
        avatar: pictures.get(author.id) ?? author.avatar_url,
        day: day === before?.day ? "" : times.day(date),
        fresh: isFresh,
        gap: mine ? undefined : gap,
        follows:
          before?.author.id === author.id &&
          before.day === day &&
          at - before.at < TOGETHER_MS &&
          !isFresh &&
          !gap &&
          !message.reply_to &&
          message.kind !== "system",
        quoted,
        stops: grows(message) && (own || moderates || (!!quoted && isMe(client, quoted.author))),
      });
      fresh ||= isFresh;
      before = { author, at, day, seq };
    }
    return items;
  }

  function patch(items: Map<string, Item>): void {
    for (const [key, row] of shown) {
      if (items.has(key)) continue;
      row.element.remove();
      shown.delete(key);
    }
    let next = list.firstElementChild;
    for (const [key, item] of items) {
      let row = shown.get(key);
      if (row) row.paint(item);
      else {
        row = createRow(scene, item, { ...actions, jump: (seq) => void jump(seq) });
        row.element.dataset["key"] = key;
        shown.set(key, row);
      }
      if (row.element === next) next = next.nextElementSibling;
      else list.insertBefore(row.element, next);
    }
  }

  async function jump(seq: number): Promise<void> {
    try {
      for (let page = 0; page < PAGES && !find(room.timeline.get().messages, seq); page++) {
        if (!room.timeline.get().hasOlder) return;
        await room.loadOlder();
      }
    } catch (error) {
      return scene.failed(error);
    }
    const { messages } = room.timeline.get();
    const message = find(messages, seq);
    if (!message) return;
    const index = indexOf(messages, seq);
    // Where it is not in the window already, it comes to stand in its middle.
    if (!rowFor(message)) from = messages[Math.max(0, index - WINDOW / 2)]!.seq;
    atNewest = false;
    update();
    const row = rowFor(message);
    if (!row) return;
    box.reveal(row.element, "center");
    row.article.focus({ preventScroll: true });
  }
  const rowFor = (message: Message): Row | undefined =>
    [...shown.values()].find(({ item }) => (item.message as Message).seq === message.seq);

  return {
    element: box.element,
    list,
    update,
    jump,
    rowOf(target) {
      const element =
        target instanceof Element ? target.closest<HTMLElement>("li[data-key]") : null;
      return shown.get(element?.dataset["key"] ?? "");
    },
    atEnd: () => box.following(),
    stop: box.stop,
    toEnd() {
      from = null;
      update();
      box.toEnd();
    },
    below() {
      const { messages } = room.timeline.get();
      const after = messages.slice(indexOf(messages, seen + 1));
      return after.filter(({ author }) => !isMe(client, author)).length;
    },
    away(on) {
      const last = room.timeline.get().messages.at(-1)?.seq ?? 0;
      if (on && box.following()) line = last;
      else if (!on && (line ?? Infinity) >= last) line = Infinity;
    },
  };
}

/** Where a seq is, or would be. */
function indexOf(messages: readonly Message[], seq: number): number {
  let low = 0;
  for (let high = messages.length; low < high;) {
    const middle = (low + high) >> 1;
    if (messages[middle]!.seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

function find(messages: readonly Message[], seq: number): Message | undefined {
  const found = messages[indexOf(messages, seq)];
  return found?.seq === seq ? found : undefined;
}
