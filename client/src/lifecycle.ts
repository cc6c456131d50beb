// Whether the page is seen and has a network, as browsers tell it.

import type { Lifecycle } from "./types.js";

type LifecycleEvent = Parameters<Parameters<Lifecycle["subscribe"]>[0]>[0];

const MEANINGS: Record<string, LifecycleEvent> = {
  online: "online",
  offline: "offline",
  pagehide: "suspend",
  freeze: "suspend",
  resume: "resume",
  pageshow: "resume",
  visibilitychange: "hidden",
};

const CAPTURE = { capture: true };

/** Null where there is no page: on a server, in a worker, in React Native. */
export function pageLifecycle(): Lifecycle | null {
  if (typeof document === "undefined") return null;
  const visible = (): boolean => !document.hidden;
  return {
    online: () => navigator.onLine,
    visible,
    subscribe(listener) {
      const tell = ({ type, persisted }: Event & { persisted?: boolean }): void => {
        // The first `pageshow` belongs to loading.
        if (type === "pageshow" && !persisted) return;
        const event = MEANINGS[type]!;
        listener(event === "hidden" && visible() ? "visible" : event);
      };
      // Some are the document's: those are caught on their way down.
      for (const type in MEANINGS) addEventListener(type, tell, CAPTURE);
      return () => {
        for (const type in MEANINGS) removeEventListener(type, tell, CAPTURE);
      };
    },
  };
}
