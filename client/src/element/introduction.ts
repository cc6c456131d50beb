// A guest says who they are before they write, and may change it later.

import { button, h, put } from "./dom.js";
import type { Part, Scene } from "./scene.js";

const LONGEST = 40; // characters of a guest's name

/** The name that this browser's guest took last, as the client keeps it. */
function keptName(): string | undefined {
  try {
    return (JSON.parse(localStorage.getItem("headgate.guest") ?? "{}") as { name?: string }).name;
  } catch {
    return undefined; // forbidden to this page, or not the client's
  }
}

export interface Introduction extends Part {
  /** Whether the form stands in the composer's place. */
  asking(): boolean;
}

/**
 * @param guest - whether the page says that one has no account
 * @param signIn - where one can sign in
 */
export function introduction(
  { client, words: { t }, refresh }: Scene,
  guest: boolean,
  signIn: string | undefined,
  introduced: () => void,
): Introduction {
  let named = keptName();
  let open = false;
  const input = h("input", {
    required: true,
    maxlength: LONGEST,
    dir: "auto",
    autocomplete: "nickname",
    placeholder: t("name_hint"),
  });
  const cancel = button(t("cancel"), () => done());
  const link = (): HTMLElement | null =>
    signIn === undefined ? null : h("a", { href: signIn }, t("sign_in"));
  const form = h(
    "form",
    { class: "introduction", submit },
    h("label", {}, t("your_name"), " ", input),
    h("button", {}, t("join")),
    cancel,
    link(),
  );
  const me = h("bdi");
  const [before, after] = t("you_are", { name: "\0" }).split("\0");
  const line = h(
    "p",
    { class: "self" },
    h("span", {}, before ?? "", me, after ?? ""),
    button(t("change"), () => {
      open = true;
      input.value = named ?? "";
      refresh();
      // Shown with the next frame.
      requestAnimationFrame(() => input.select());
    }),
    link(),
  );
  const element = h("div", {}, form, line);

  function submit(event: Event): void {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return;
    named = name;
    client.rename(name);
    done();
  }
  function done(): void {
    open = false;
    refresh();
    introduced();
  }
  const isGuest = (): boolean => {
    const user = client.user.get();
    return user ? user.kind === "guest" : guest;
  };
  const asking = (): boolean => isGuest() && (open || !named);
  return {
    element,
    asking,
    update() {
      form.hidden = !asking();
      cancel.hidden = !named;
      line.hidden = !isGuest() || asking();
      put(me, client.user.get()?.name ?? named ?? "");
    },
  };
}
