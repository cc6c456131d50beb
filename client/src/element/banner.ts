// How the connection is, where it is not as it should be.

import { button, h, put } from "./dom.js";
import type { Part, Scene } from "./scene.js";

const QUIET_MS = 2_000; // a shorter interruption is nobody's business

export function banner({ client, words, times, say }: Scene): Part {
  const { t, count } = words;
  const text = h("span");
  const retry = button(t("retry_now"), () => client.retryNow());
  const element = h("p", { class: "banner" }, text, " ", retry);
  let since: number | null = null;
  let told = "";

  return {
    element,
    update() {
      const state = client.state.get();
      const now = client.clock.now();
      const { status } = state;
      const fine = status === "online" || status === "paused" || status === "idle";
      since = fine ? null : (since ?? now);
      element.hidden = since === null || (status !== "closed" && now - since < QUIET_MS);
      element.dataset["status"] = status;
      retry.hidden = status !== "waiting";
      if (element.hidden) {
        told = "";
        return;
      }
      const unsent = client.outbox.get().length;
      const ms = status === "waiting" ? state.nextTryAt - now : 0;
      put(
        text,
        status === "closed"
          ? words.error(state.reason.text)
          : status === "offline"
            ? unsent
              ? count("offline_unsent", unsent)
              : t("offline")
            : ms > 0
              ? t("reconnecting", { time: times.span(ms) })
              : t("connecting"),
      );
      // Once for each state: a countdown is seen, and not heard.
      if (told !== status && status !== "connecting") say(text.textContent);
      told = status === "connecting" ? told : status;
    },
  };
}
