// One room as it is shown: puts the parts together, and paints at most once a frame.

import { announcer } from "./announcer.js";
import { banner } from "./banner.js";
import { composer } from "./composer.js";
import { button, h, put } from "./dom.js";
import { introduction } from "./introduction.js";
import { presence, typing } from "./people.js";
import { rows } from "./rows.js";
import { isMe, titleOf, type Scene } from "./scene.js";
import type { Config, Lease } from "./shared_client.js";
import { backHere } from "./sign_in.js";
import { slowMode } from "./slow_mode.js";
import { translator } from "./strings.js";
import { times } from "./time.js";
import { tools } from "./tools.js";
import type { Outgoing } from "../types.js";

const SKELETON_ROWS = 6;
const DONE_MS = 4_000; // how long it is said that something is done

export interface Chat {
  readonly elements: readonly HTMLElement[];
  stop(): void;
}

/**
 * Show a room.
 *
 * @param start - what the page wants at the beginning of the head, such as a way back
 */
export function chat(
  lease: Lease,
  name: string,
  language: string,
  config: Config,
  start: readonly Element[],
): Chat {
  const { client } = lease;
  const room = client.room(name);
  const words = translator(language, config.strings);
  const { t, count } = words;
  const voice = announcer(words);
  const seen = (): boolean => document.visibilityState !== "hidden";
  const notice = h("p", { class: "notice", role: "status" });
  let telling: ReturnType<typeof setTimeout> | undefined;
  function tell(text = "", look = "notice"): void {
    clearTimeout(telling);
    put(notice, text);
    notice.className = look;
  }
  const failed = (error: unknown): void => tell(words.error(error));
  const scene: Scene = {
    client,
    lease,
    room,
    words,
    times: times(words.language),
    say: voice.say,
    message: voice.message,
    failed,
    done() {
      tell(t("done"), "notice good");
      telling = setTimeout(tell, DONE_MS);
    },
    refresh,
  };

  // --- the parts ---

  const title = h("h2", { dir: "auto" });
  const state = h("p", { class: "state" });
  const skeleton = h("div", { class: "skeleton", "aria-hidden": "true" });
  for (let i = 0; i < SKELETON_ROWS; i++) skeleton.append(h("i"));
  const signInUrl = config.sign_in && backHere(config.sign_in);
  const signIn = signInUrl && h("a", { href: signInUrl, class: "button" }, t("sign_in"));
  const empty = h("div", { class: "empty" }, state, signIn, skeleton);
  const reopen = (message: Outgoing): void => {
    const taken = room.discard(message.client_id);
    if (taken) field.restore(taken.text, taken.reply_to);
  };
  const discard = (message: Outgoing): void => {
    room.discard(message.client_id);
    field.focus();
  };
  const log = rows(scene, empty, {
    fill: (gap) => void room.fillGap(gap).catch(failed),
    retry: ({ client_id: id }) => room.retry(id),
    stop(seq) {
      room.cancel(seq).catch(failed);
    },
    reopen,
    discard,
  });
  const field = composer(scene, () => {
    tell();
    log.away(false);
    log.toEnd();
  });
  const toolbar = tools(scene, { reopen, discard, reply: field.reply, edit: field.edit });
  const who = introduction(scene, config.guest ?? false, signInUrl, () =>
    requestAnimationFrame(field.focus),
  );
  const slow = slowMode(scene);
  const parts = [presence(scene), slow, banner(scene), typing(scene), log, who, field] as const;
  const [here, , connection, writers] = parts;
  const jump = button("", () => log.toEnd(), "jump");
  const silence = h("p", { class: "silence" });
  const section = h("section", { role: "log", "aria-live": "off" }, log.element);
  const elements = [
    h("header", { class: "head" }, ...start, title, here.element, slow.element),
    connection.element,
    section,
    h("div", { class: "foot" }, jump, writers.element, notice, who.element, field.element, silence),
    ...voice.elements,
  ];
  // The one message that Tab reaches; the arrow keys go on from there.
  let current: HTMLElement | undefined;

  function focusable(article: HTMLElement): void {
    if (article === current) return;
    if (current) current.tabIndex = -1;
    current = article;
    article.tabIndex = 0;
  }
  const place = (event: Event): void => {
    const row = log.rowOf(event.target);
    // A finger would press what comes under it: its tools come with the focus.
    if (!row || (event as PointerEvent).pointerType === "touch") return;
    toolbar.show(row);
    if (event.type === "focusin") focusable(row.article);
  };
  log.list.addEventListener("pointerover", place);
  log.list.addEventListener("focusin", place);
  log.list.addEventListener("keydown", (event) => {
    const { key, target } = event;
    const row = log.rowOf(target);
    if (!row || target !== row.article) return;
    const { previousElementSibling: before, nextElementSibling: after } = row.element;
    const { firstElementChild: first } = log.list;
    if (key === "End") log.toEnd();
    const to = { ArrowUp: before, ArrowDown: after, Home: first, End: log.list.lastElementChild }[
      key
    ];
    if (key === "Escape") field.focus();
    else if (to === undefined) return;
    else log.rowOf(to)?.article.focus();
    event.preventDefault();
  });

  // --- painting ---

  let frame: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  function refresh(): void {
    if (stopped || frame !== undefined) return;
    // A hidden page has no frames.
    frame = seen() ? requestAnimationFrame(paint) : window.setTimeout(paint, 250);
  }

  function paint(): void {
    frame = undefined;
    if (stopped) return;
    const { status, messages, unsent, readOnly, error, head } = room.timeline.get();
    const refused = status === "refused";
    const loading = !refused && status !== "live" && !messages.length;
    put(title, titleOf(room));
    section.setAttribute("aria-label", t("messages", { room: titleOf(room) }));
    section.setAttribute("aria-busy", String(loading));
    empty.hidden = messages.length + unsent.length > 0;
    skeleton.hidden = !loading;
    put(state, refused ? words.error(error) : t(loading ? "loading" : "empty"));
    // What loads is seen as a skeleton.
    state.className = loading ? "unseen" : "state";
    if (signIn) signIn.hidden = !refused;
    for (const part of parts) part.update();
    toolbar.update();
    const silent = refused || readOnly;
    silence.hidden = !silent || (refused && !empty.hidden);
    put(silence, refused ? words.error(error) : t("read_only"));
    field.element.hidden = silent || who.asking();
    who.element.hidden = silent;
    // Whoever comes to the log by Tab begins at the newest message.
    const last = log.rowOf(log.list.lastElementChild);
    if (last && !log.list.contains(document.activeElement)) focusable(last.article);
    jump.hidden = log.atEnd();
    const below = jump.hidden ? 0 : log.below();
    put(jump, below ? count("new_messages", below) : t("newest"));
    if (status === "live" && log.atEnd() && seen()) room.markRead(head);
    clearTimeout(timer);
    const online = client.state.get().status === "online";
    const midnight = new Date().setHours(24, 0, 0, 0);
    timer = setTimeout(refresh, online && !unsent.length ? midnight - Date.now() : 1_000);
  }

  // --- what comes ---

  function heard(): void {
    const failed = room.timeline.get().unsent.find(({ status }) => status === "failed");
    const text = failed ? t("failed_to_send", { text: words.error(failed.error) }) : "";
    if (text !== failure) voice.say(text, true);
    failure = text;
    refresh();
  }
  let failure = "";
  const visibility = (): void => {
    log.away(!seen());
    refresh();
  };
  document.addEventListener("visibilitychange", visibility);
  const ends = [
    client.on("message", ({ room: where, author, text, open }) => {
      // What grows is said when it has ended: by its row.
      if (where === name && !open && !isMe(client, author)) voice.message(author.name, text);
    }),
    room.timeline.subscribe(heard),
    ...[client.state, client.user, client.outbox].map((store) => store.subscribe(refresh)),
    ...[room.allowance, room.typists, room.presence, room.draft].map((store) =>
      store.subscribe(refresh),
    ),
  ];
  lease.join(name);
  paint();
  return {
    elements,
    stop() {
      stopped = true;
      for (const end of ends) end();
      slow.stop();
      log.stop();
      voice.stop();
      clearTimeout(timer);
      clearTimeout(telling);
      document.removeEventListener("visibilitychange", visibility);
      lease.leave(name);
    },
  };
}
