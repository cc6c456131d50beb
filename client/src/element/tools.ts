// The tools of a message: one toolbar, which goes to the row under the pointer or the
// focus, and in its place the question that a tool asks before it does something.

import type { Author, Message } from "../types.js";
import { button, h } from "./dom.js";
import { grows, isUnsent, type Item, type Row, type RowActions } from "./row.js";
import type { Scene } from "./scene.js";

type Choice = readonly [label: string, act: () => unknown, look?: string];

export interface Tools {
  /** Go to a row, unless the focus is in the tools of another one. */
  show(row: Row): void;
  /** Be what the message needs that it has become. */
  update(): void;
}

export type ToolActions = Pick<RowActions, "reopen" | "discard"> & {
  reply(message: Message): void;
  edit(message: Message): void;
};

const MUTES_MS = [600_000, 3_600_000, 86_400_000];

export function tools(scene: Scene, actions: ToolActions): Tools {
  const { room, lease, words, times } = scene;
  const { t } = words;
  const element = h("div", {
    class: "tools",
    role: "toolbar",
    "aria-label": t("actions"),
    keydown(event: KeyboardEvent) {
      if (event.key === "Escape" && at) {
        event.stopPropagation();
        back();
      }
    },
  });
  let at: Row | undefined;
  let made: Item | undefined;
  let asking = false;

  /** Whether the tools are those that the row needs. */
  const fits = ({ item }: Row): boolean =>
    asking || made === item || (!!made && grows(made.message) && grows(item.message));

  function show(row: Row): void {
    if (at === row && fits(row)) return;
    if (element.contains(document.activeElement)) return;
    at = row;
    made = row.item;
    fill(choices(row));
    if (element.firstChild) row.element.append(element);
    else element.remove();
  }
  function fill(list: readonly Choice[], question?: string): void {
    asking = !!question;
    element.classList.toggle("asks", asking);
    element.replaceChildren(
      ...(question ? [h("p", {}, question)] : []),
      ...list.map(([label, act, look]) => button(label, act, look)),
    );
  }
  function back(): void {
    const row = at;
    at = undefined;
    row?.article.focus();
    if (row) show(row);
  }
  function ask(question: string, ...list: Choice[]): void {
    fill([...list, [t("cancel"), back]], question);
    element.querySelector("button")?.focus();
  }
  /** Do it, say how it went, and go back to the message. */
  async function run(action: Promise<unknown>): Promise<void> {
    back();
    try {
      await action;
      scene.done();
    } catch (error) {
      scene.failed(error);
    }
  }

  function choices({ item: { message, own, author } }: Row): Choice[] {
    if (isUnsent(message)) {
      return message.status === "queued" || message.status === "waiting"
        ? [
            [t("edit"), () => actions.reopen(message)],
            [t("discard"), () => actions.discard(message)],
          ]
        : [];
    }
    const { moderates, readOnly } = room.timeline.get();
    if (message.deleted || message.kind === "system") return [];
    const list: Choice[] = [];
    if (!readOnly) list.push([t("reply"), () => actions.reply(message)]);
    if (own && !readOnly && !message.open) list.push([t("edit"), () => actions.edit(message)]);
    if (own || moderates) {
      const erase: Choice = [t("delete"), () => run(room.delete(message.seq)), "danger"];
      list.push([t("delete"), () => ask(t("delete_sure"), erase)]);
    }
    if (moderates && !own) list.push([t("moderate"), () => moderate(author)]);
    return list;
  }

  function moderate({ id, name }: Author): void {
    const change = (body: object): Promise<void> =>
      run(lease.patch(`rooms/${room.name}/members/${encodeURIComponent(id)}`, body));
    const mutes = MUTES_MS.map((ms): Choice => {
      const values = { name, time: times.span(ms) };
      const label = t("mute", values);
      const mute = (): Promise<void> => change({ mute_ms: ms });
      return [label, () => ask(t("mute_sure", values), [label, mute, "danger"])];
    });
    const ban: Choice = [t("ban"), () => change({ banned: true }), "danger"];
    ask(
      t("moderate_what", { name }),
      ...mutes,
      [t("unmute"), () => change({ mute_ms: 0 })],
      [t("ban"), () => ask(t("ban_sure", { name }), ban)],
      [t("unban"), () => change({ banned: false })],
    );
  }
  return {
    show,
    update() {
      if (!at || fits(at)) return;
      if (element.contains(document.activeElement)) at.article.focus();
      show(at);
    },
  };
}
