// The list of rooms: what the server rendered, with unread counts, kept up to date, and
// a click that changes the room of the page's chats without loading the page again.

import { h, put } from "./dom.js";
import type { Config, Lease } from "./shared_client.js";
import { backHere } from "./sign_in.js";
import { translator } from "./strings.js";

const POLL_MS = 20_000;
const MOST = 99; // counts stop at 100
const PAGE = 200; // rooms in one answer

interface Listed {
  readonly room: string;
  readonly title: string;
  readonly kind: string;
  readonly read: number;
  readonly unread: number;
}

/**
 * Bring the list in `host` to life. Links anywhere on the page that have
 * `data-headgate-sign-in` come back to the room that is shown.
 *
 * @param chats - what shows a room on this page; without any, links are links
 * @returns what ends it
 */
export function roomList(
  host: HTMLElement,
  lease: Lease,
  language: string,
  config: Config,
  chats: () => readonly Element[],
): () => void {
  const { client } = lease;
  const words = translator(language, config.strings);
  const list = host.querySelector("ul") ?? host.appendChild(h("ul"));
  const unread = new Map<string, number>();
  const [, ending = ""] = /.* (· .*)$/.exec(document.title) ?? [];
  let watched: (() => void)[] = [];
  let wasOnline = false;
  let stopped = false;

  const items = (): HTMLElement[] => [...list.querySelectorAll<HTMLElement>("[data-room]")];
  const current = (): string => host.getAttribute("current") ?? "";
  const nameOf = (item: HTMLElement): string => item.dataset["room"]!;
  const itemOf = (room: string): HTMLElement | undefined =>
    items().find((item) => nameOf(item) === room);
  const short = (n: number): string => (n > MOST ? `${MOST}+` : String(n));

  // --- showing ---

  function show(): void {
    let all = 0;
    for (const item of items()) {
      const n = unread.get(nameOf(item)) ?? 0;
      all += n;
      const link = item.querySelector("a");
      if (!link) continue;
      if (nameOf(item) === current()) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      let badge = link.querySelector(".badge");
      if (!badge) {
        badge = h(
          "span",
          { class: "badge" },
          h("span", { "aria-hidden": "true" }),
          h("span", { class: "unseen" }),
        );
        link.append(badge);
      }
      put(badge.firstChild!, n ? short(n) : "");
      put(badge.lastChild!, n ? `, ${words.count("unread", n, { n: short(n) })}` : "");
      item.classList.toggle("has-unread", n > 0);
    }
    const title = itemOf(current())?.querySelector("bdi");
    const bare = title && ending ? `${title.textContent} ${ending}` : document.title;
    document.title = (all ? `(${short(all)}) ` : "") + bare.replace(/^\(\d+\+?\) /, "");
  }

  /** The rooms that are watched know best what is unread there. */
  function watch(): void {
    for (const end of watched) end();
    watched = client.rooms.get().map((name) => {
      const { timeline } = client.room(name);
      const count = (): void => {
        if (timeline.get().status !== "live") return;
        if (unread.get(name) === timeline.get().unread) return;
        unread.set(name, timeline.get().unread);
        show();
      };
      count();
      return timeline.subscribe(count);
    });
  }

  // --- asking ---

  async function ask(): Promise<void> {
    if (stopped || document.visibilityState === "hidden") return;
    try {
      const answer = await lease.get(`rooms?limit=${PAGE}`);
      if (!stopped) take(answer as { rooms: Listed[]; next?: string });
    } catch {
      // The list stays as it is until the next time.
    }
  }
  function take({ rooms, next }: { rooms: Listed[]; next?: string }): void {
    const there = new Set([current()]);
    const watching = client.rooms.get();
    for (const listed of rooms) {
      there.add(listed.room);
      // Who has never been in a public room has missed nothing there.
      const isNews = listed.read > 0 || listed.kind !== "public";
      if (!watching.includes(listed.room)) unread.set(listed.room, isNews ? listed.unread : 0);
      const title = itemOf(listed.room)?.querySelector("bdi");
      if (title) put(title, listed.title || listed.room);
      else add(listed);
    }
    for (const item of items()) if (!next && !there.has(nameOf(item))) item.remove();
    show();
  }
  function add({ room, title, kind }: Listed): void {
    // Its address is that of another room, with its own name.
    const [sample] = items();
    const [path, name] = sample
      ? [sample.querySelector("a")?.pathname ?? "", nameOf(sample)]
      : [location.pathname, current()];
    const at = path.lastIndexOf(name);
    if (at < 0) return;
    const href = path.slice(0, at) + room + path.slice(at + name.length);
    const sign = h("span", { class: "sign", "aria-hidden": "true" }, kind === "public" ? "#" : "•");
    const item = h(
      "li",
      { "data-room": room },
      h("a", { href }, sign, " ", h("bdi", {}, title || room)),
    );
    list.insertBefore(item, items().find((other) => nameOf(other) > room) ?? null);
  }

  // --- changing rooms ---

  /** Show the room, whose address the page has by now. */
  function go(item: HTMLElement): void {
    for (const chat of chats()) chat.setAttribute("room", nameOf(item));
    host.setAttribute("current", nameOf(item));
    for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-headgate-sign-in]")) {
      link.href = backHere(link.href);
    }
    show();
  }
  function click(event: MouseEvent): void {
    const { target, button, defaultPrevented } = event;
    const link = target instanceof Element && target.closest("a");
    const item = link && link.closest<HTMLElement>("[data-room]");
    // Whoever wants another tab or window gets it from the browser.
    if (!item || defaultPrevented || button) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const [chat] = chats();
    if (!chat) return;
    event.preventDefault();
    if (nameOf(item) !== current()) history.pushState(null, "", link.href);
    go(item);
    // One goes there to write; a telephone would cover half of the room with its keyboard.
    if (matchMedia("(hover: hover)").matches) chat.querySelector("textarea")?.focus();
  }
  function back(): void {
    const item = items().find((one) => one.querySelector("a")?.pathname === location.pathname);
    if (item) go(item);
  }
  const visible = (): void => void ask();

  host.addEventListener("click", click);
  window.addEventListener("popstate", back);
  document.addEventListener("visibilitychange", visible);
  const timer = setInterval(visible, POLL_MS);
  const ends = [
    client.rooms.subscribe(watch),
    client.on("rooms", ({ joined, left, unread: counts = {} }) => {
      for (const [name, n] of Object.entries(counts)) unread.set(name, n);
      if (joined ?? left) void ask();
      show();
    }),
    client.state.subscribe(() => {
      if (client.state.get().status !== "online") return;
      if (wasOnline) void ask();
      wasOnline = true;
    }),
  ];
  watch();
  show();
  void ask();
  return () => {
    stopped = true;
    for (const end of [...ends, ...watched]) end();
    clearInterval(timer);
    host.removeEventListener("click", click);
    window.removeEventListener("popstate", back);
    document.removeEventListener("visibilitychange", visible);
  };
}
