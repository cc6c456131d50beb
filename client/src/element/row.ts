// One message as a row. A row is painted anew where something about it has changed; what
// has the focus, the article, stays.

import type { Author, Gap, Message, Outgoing } from "../types.js";
import { button, h, newId, put } from "./dom.js";
import { links } from "./links.js";
import { parse, patch, type Tree } from "./markdown.js";
import { hueOf, type Scene } from "./scene.js";
import type { Translator } from "./strings.js";

/** All that a row shows; equal items look the same. */
export interface Item {
  readonly message: Message | Outgoing;
  readonly author: Author;
  readonly own: boolean;
  readonly avatar: string | undefined;
  /** The day that begins here. */
  readonly day: string;
  /** Whether what one has not read begins here. */
  readonly fresh: boolean;
  /** What is missing before this one. */
  readonly gap: Gap | undefined;
  /** Whether the author of the message before goes on. */
  readonly follows: boolean;
  readonly quoted: Message | undefined;
  /** Whether it grows, and one may stop it. */
  readonly stops: boolean;
}

export interface Row {
  readonly element: HTMLLIElement;
  readonly article: HTMLElement;
  item: Item;
  paint(item: Item): void;
  /** What hangs on the clock: how long it waits. */
  tick(): void;
}

/** What can be done from within a row. */
export interface RowActions {
  fill(gap: Gap): void;
  jump(seq: number): void;
  retry(message: Outgoing): void;
  reopen(message: Outgoing): void;
  discard(message: Outgoing): void;
  stop(seq: number): void;
}

const QUOTED = 200; // characters of a message that is answered
// A few emoji and nothing else; a whole family is 7 code points.
const EMOJI =
  /^(?=.{1,8}$)(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|\p{Emoji_Modifier}|[\ufe0f\u200d ])+$/u;
const SLOW_MS = 1_000; // a message that takes less is not said to be on its way

/** A message of one's own that is not acknowledged. */
export const isUnsent = (message: Message | Outgoing): message is Outgoing => "status" in message;

/** A message whose text is still growing. */
export const grows = (message: Message | Outgoing): boolean => !isUnsent(message) && !!message.open;

export function createRow(scene: Scene, first: Item, actions: RowActions): Row {
  const { times, words } = scene;
  const { t } = words;
  const before = h("div", { class: "before" });
  const article = h("article", { tabindex: -1 });
  const element = h("li", {}, before, article);
  const note = h("p", { class: "note" });
  const text = h("div", { class: "text", id: newId(), dir: "auto" });
  let body: readonly Tree[] = [];

  function paint(item: Item): void {
    const old = row.item;
    const keys = Object.keys(item) as (keyof Item)[];
    const changes = keys.filter((key) => old[key] !== item[key]);
    if (article.firstChild && !changes.length) return row.tick();
    row.item = item;
    const focused = element.contains(document.activeElement);
    const { message, author, own, quoted } = item;
    const at = new Date(isUnsent(message) ? message.created : message.at);
    const deleted = !isUnsent(message) && message.deleted;
    const system = message.kind === "system";
    const nodes = deleted
      ? [t("deleted")]
      : message.format === "markdown"
        ? parse(message.text, grows(message) || !!ending(message))
        : links(message.text);
    patch(text, body, nodes);
    body = nodes;
    if (grows(old.message)) {
      // The text alone is another.
      if (grows(message) && article.firstChild && changes.join() === "message") return;
      if (!grows(message) && !own && !deleted) {
        scene.message(author.name, message.text);
        if (ending(message)) scene.say(ending(message));
      }
    }

    before.replaceChildren(
      ...(item.day ? [h("p", { class: "day" }, h("span", {}, item.day))] : []),
      ...(item.gap ? [gapLine(words, item.gap, actions.fill)] : []),
      ...(item.fresh ? [h("p", { class: "new" }, h("span", {}, t("new")))] : []),
    );
    element.className = [
      item.follows && "follows",
      deleted && "gone",
      system && "system",
      EMOJI.test(message.text) && "emoji",
      grows(message) && "grows",
      isUnsent(message) && `unsent ${message.status}`,
      own && "own",
    ]
      .filter(Boolean)
      .join(" ");

    const tag = own
      ? t("you")
      : author.kind === "guest" || author.kind === "bot"
        ? t(author.kind)
        : "";
    const clock = times.clock(at);
    article.setAttribute("aria-label", `${author.name}${tag && ` (${tag})`}, ${clock}`);
    article.setAttribute("aria-describedby", text.id);
    article.replaceChildren(
      face(author, item.avatar),
      h(
        "header",
        {},
        h("bdi", { class: "name" }, author.name),
        h("span", { class: `tag ${author.kind}` }, tag),
      ),
      h("time", { datetime: at.toISOString(), title: times.full(at) }, clock),
    );
    article.dataset["hue"] = String(hueOf(author));
    if (message.reply_to && !deleted) {
      const to = message.reply_to;
      const line = quoted?.deleted
        ? t("deleted")
        : quoted?.text.trim().split("\n", 1)[0]?.slice(0, QUOTED);
      const quote = button("", () => actions.jump(to), "quote");
      quote.append(
        quoted ? h("bdi", {}, quoted.author.name) : t("earlier"),
        " ",
        h("span", { dir: "auto" }, line ?? ""),
      );
      article.append(quote);
    }
    article.append(text, note);
    if (isUnsent(message) && message.status === "failed") {
      article.append(
        h(
          "div",
          { class: "buttons" },
          button(t("retry"), () => actions.retry(message)),
          button(t("edit"), () => actions.reopen(message)),
          button(t("discard"), () => actions.discard(message)),
        ),
      );
    }
    if (item.stops) {
      const stop = (): void => actions.stop((message as Message).seq);
      article.append(h("div", { class: "buttons" }, button(t("stop"), stop)));
    }
    row.tick();
    // A button that was pressed may be gone.
    if (focused && !element.contains(document.activeElement))
      article.focus({ preventScroll: true });
  }

  function tick(): void {
    const { message } = row.item;
    put(
      note,
      isUnsent(message)
        ? state(message)
        : message.edited && !message.deleted
          ? t("edited")
          : ending(message),
    );
  }
  /** How it ended, where it is not whole. */
  const ending = (message: Message | Outgoing): string =>
    !isUnsent(message) && message.state ? t(message.state) : "";
  function state({ status, notBefore = 0, created, error }: Outgoing): string {
    if (status === "failed") return `${t("not_sent")}: ${words.error(error)}`;
    if (status === "sending") return Date.now() - created < SLOW_MS ? "" : t("sending");
    const ms = status === "waiting" ? notBefore - scene.client.clock.now() : 0;
    if (ms <= 0) return t("queued");
    const wait = t("waits", { time: times.span(ms) });
    return error ? `${wait}: ${words.error(error)}` : wait;
  }

  const row: Row = { element, article, item: first, paint, tick };
  paint(first);
  return row;
}

/** That messages are missing here, and the way to see them. */
export function gapLine({ t, count }: Translator, gap: Gap, fill: (gap: Gap) => void): HTMLElement {
  const text = count("left_out", gap.to - gap.from + 1);
  return h(
    "p",
    { class: "gap" },
    text,
    " ",
    button(t("show"), () => fill(gap)),
  );
}

/** The picture of somebody, or the first letter of the name. */
export function face({ name }: Author, picture: string | undefined): HTMLElement {
  // A whole character, not half of one.
  const initial = /\S/u.exec(name)?.[0].toLocaleUpperCase() ?? "?";
  const span = h("span", { class: "face", "aria-hidden": "true" }, initial);
  if (picture) {
    const error = (): void => image.remove();
    const image = h("img", { alt: "", loading: "lazy", src: picture, error });
    span.append(image);
  }
  return span;
}
