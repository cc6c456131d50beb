// Who is here, and who is writing.

import type { Author } from "../types.js";
import { h, put } from "./dom.js";
import { face } from "./row.js";
import { hueOf, isMe, type Part, type Scene } from "./scene.js";

/** How many are here; opened, who. */
export function presence({ room, client, words }: Scene): Part {
  const summary = h("summary");
  const list = h("ul", { tabindex: 0 });
  const close = (): void => {
    element.open = false;
  };
  const element = h(
    "details",
    {
      class: "people",
      toggle: () => update(),
      keydown(event: KeyboardEvent) {
        if (event.key !== "Escape") return;
        close();
        summary.focus();
      },
      focusout({ relatedTarget }: FocusEvent) {
        if (!element.contains(relatedTarget as Node | null)) close();
      },
    },
    summary,
    list,
  );
  let listed: readonly Author[] | undefined;

  function update(): void {
    const { here, off } = room.presence.get();
    element.hidden = off || !here.length;
    put(summary, words.count("here", here.length));
    if (!element.open || here === listed) return;
    listed = here;
    const people = here.map((author) =>
      h(
        "li",
        { "data-hue": hueOf(author) },
        face(author, author.avatar_url),
        h("bdi", {}, author.name),
        h("span", { class: "tag" }, isMe(client, author) ? words.t("you") : ""),
      ),
    );
    list.replaceChildren(...people);
  }
  return { element, update };
}

export function typing({ room, words: { t } }: Scene): Part {
  const element = h("p", { class: "typing", dir: "auto" });
  return {
    element,
    update() {
      const [first, second, third] = room.typists.get();
      const a = first?.name ?? "";
      const b = second?.name ?? "";
      put(
        element,
        third
          ? t("typing_many")
          : second
            ? t("typing_two", { a, b })
            : first
              ? t("typing_one", { a })
              : "",
      );
    },
  };
}
