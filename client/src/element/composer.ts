// Where one writes. The field is never disabled and keeps its text until it is queued:
// a limit holds back the sending, not the writing.

import type { Message } from "../types.js";
import { button, h, newId, put } from "./dom.js";
import { isMe, titleOf, type Part, type Scene } from "./scene.js";

export interface Composer extends Part {
  focus(): void;
  reply(message: Message): void;
  edit(message: Message): void;
  /** Put back what was not sent, before what stands there. */
  restore(text: string, replyTo?: number): void;
}

const ENVELOPE_BYTES = 320; // what a command has around its text, at most
const HUGE = 2; // times what can be sent: a paste of more would hold the page up at each key
const FEW = 0.3; // of a limit's burst: from there on what is left is shown
const WORTH_SAYING_S = 3;

export function composer(scene: Scene, sent: () => void): Composer {
  const { room, client, lease, words, times } = scene;
  const { t, count } = words;
  const field = h("textarea", {
    rows: 1,
    dir: "auto",
    enterkeyhint: "send",
    "aria-label": t("message_to", { room: titleOf(room) }),
    beforeinput: beforeInput,
    input: onInput,
    keydown: onKey,
  });
  const modeText = h("span", { dir: "auto" });
  const mode = h(
    "p",
    { class: "mode" },
    modeText,
    button(t("cancel"), () => leaveMode()),
  );
  const label = h("span");
  const wait = h("span", {
    class: "wait",
    role: "timer",
    "aria-live": "off",
    "aria-hidden": "true",
  });
  // The focus, and with it a telephone's keyboard, stays where one writes.
  const mousedown = (event: Event): void => event.preventDefault();
  const send = h("button", { class: "send", mousedown }, label, wait);
  const hintId = newId();
  const trouble = h("p", { class: "trouble", role: "alert" });
  const left = h("span", { class: "left" });
  const slow = h("span");
  const hint = h(
    "p",
    { class: "hint", id: hintId },
    h("span", { class: "keys" }, t("keys")),
    slow,
    left,
  );
  const element = h(
    "form",
    { class: "composer", submit: onSubmit },
    mode,
    field,
    send,
    trouble,
    hint,
  );
  field.setAttribute("aria-describedby", hintId);

  let replyTo: number | undefined;
  let editing: Message | undefined;
  let aside = ""; // what one was writing before one began to edit
  let saving = false;
  let waited = false;

  /** The draft as it was seen last. */
  let drafted = "";

  /** How many bytes it is too long by. */
  function excess(value = field.value): number {
    const text = JSON.stringify(value);
    const limit = lease.maxBytes() - ENVELOPE_BYTES;
    // No character has more than 3 bytes for each of its units.
    return text.length * 3 <= limit ? 0 : new TextEncoder().encode(text).length - limit;
  }
  function beforeInput(event: InputEvent): void {
    const text = event.data ?? "";
    if (text.length < lease.maxBytes() * HUGE) return;
    event.preventDefault();
    put(trouble, count("too_long", excess(text)));
  }
  function changed(): void {
    const over = excess();
    put(trouble, over > 0 ? count("too_long", over) : "");
    // Where the style cannot do it: as high as the text, up to its highest.
    if (!CSS.supports("field-sizing", "content")) {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight + 2}px`;
    }
  }
  function onInput(): void {
    changed();
    if (editing) return;
    if (excess() <= 0) room.setDraft(field.value);
    room.typing(!!field.value.trim());
  }
  function onKey(event: KeyboardEvent): void {
    // While an input method composes a character, its keys are its own. Safari says so
    // of its last one by nothing but the code.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void submit();
    } else if (event.key === "Escape" && (editing || replyTo)) {
      event.stopPropagation();
      leaveMode();
    } else if (event.key === "ArrowUp" && !field.value) {
      const { messages } = room.timeline.get();
      const mine = messages.filter(
        ({ author, deleted, kind, open }) =>
          isMe(client, author) && !deleted && !open && kind !== "system",
      );
      const last = mine.at(-1);
      if (!last) return;
      event.preventDefault();
      edit(last);
    }
  }
  function onSubmit(event: Event): void {
    event.preventDefault();
    void submit();
  }
  async function submit(): Promise<void> {
    const text = field.value;
    if (!text.trim() || excess() > 0 || saving) return field.focus();
    try {
      if (editing) {
        saving = true;
        const { format, seq } = editing;
        if (text !== editing.text) await room.edit(seq, format ? { text, format } : text);
        leaveMode();
      } else {
        room.send(replyTo ? { text, reply_to: replyTo } : text);
        replyTo = undefined;
        room.typing(false);
        write("");
        room.setDraft("");
        sent();
      }
    } catch (error) {
      // The text stays: nothing was queued.
      put(trouble, words.error(error));
    } finally {
      saving = false;
    }
    field.focus();
    scene.refresh();
  }
  function write(text: string): void {
    field.value = text;
    changed();
  }
  function leaveMode(): void {
    if (editing) write(aside);
    editing = replyTo = undefined;
    field.focus();
    scene.refresh();
  }
  function edit(message: Message): void {
    if (!editing) aside = field.value;
    replyTo = undefined;
    editing = message;
    write(message.text);
    field.focus();
    scene.refresh();
  }

  function update(): void {
    const draft = room.draft.get();
    if (draft !== drafted) {
      drafted = draft;
      // Another person's, or the one that was kept: it comes when it is known who one is.
      if (editing) aside = draft;
      else if (draft !== field.value) write(draft);
    }
    const { secondsLeft, remaining, burst, policy, slowModeMs } = room.allowance.get();
    const time = times.span(secondsLeft * 1_000);
    const waits = secondsLeft > 0 && !editing;
    const { messages } = room.timeline.get();
    const name = messages.find(({ seq }) => seq === replyTo)?.author.name ?? t("earlier");
    field.placeholder = t("message_to", { room: titleOf(room) });
    field.setAttribute("aria-label", field.placeholder);
    mode.hidden = !editing && !replyTo;
    put(modeText, editing ? t("editing") : t("replying", { name }));
    put(label, t(editing ? "save" : "send"));
    label.className = waits ? "unseen" : "";
    put(wait, waits ? time : "");
    put(slow, slowModeMs ? t("slow_mode_on", { time: times.span(slowModeMs) }) : "");
    const few = remaining > 0 && burst > 1 && remaining <= burst * FEW;
    put(left, few && policy !== "slow_mode" ? count("left", remaining) : "");
    const long = secondsLeft > 0 && (waited || secondsLeft >= WORTH_SAYING_S);
    if (long !== waited) scene.say(long ? t("wait", { time }) : t("wait_over"));
    waited = long;
  }

  return {
    element,
    update,
    edit,
    focus: () => field.focus(),
    reply(message) {
      if (editing) leaveMode();
      replyTo = message.seq;
      field.focus();
      scene.refresh();
    },
    restore(text, to) {
      if (editing) leaveMode();
      replyTo ??= to;
      write(field.value ? `${text}\n${field.value}` : text);
      room.setDraft(field.value);
      field.focus();
      scene.refresh();
    },
  };
}
