// What the platform gives, and what stands in where the options say nothing.

import { systemClock } from "./clock.js";
import { pageLifecycle } from "./lifecycle.js";
import type {
  ClientOptions,
  Clock,
  KeyValueStorage,
  Lifecycle,
  WebSocketConstructor,
} from "./types.js";

export interface Platform {
  /** Undefined where there is none: then the event stream is used. */
  readonly WebSocket: WebSocketConstructor | undefined;
  readonly fetch: typeof fetch;
  readonly storage: KeyValueStorage | null;
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly random: () => number;
}

const yes = (): boolean => true;

export function platformOf({
  WebSocket = globalThis.WebSocket,
  // Looked up at each call, since pages wrap it, and called as its window's own.
  fetch = (input, init) => globalThis.fetch(input, init),
  storage = pageStorage(),
  lifecycle = pageLifecycle(),
  clock = systemClock,
  random = Math.random,
}: ClientOptions): Platform {
  return {
    WebSocket,
    fetch,
    storage,
    lifecycle: lifecycle ?? { online: yes, visible: yes, subscribe: () => () => undefined },
    clock,
    random,
  };
}

function pageStorage(): KeyValueStorage | null {
  try {
    // Node has one of its own, which warns; a page's comes with a document.
    return typeof document === "undefined" ? null : localStorage;
  } catch {
    return null; // forbidden to this page
  }
}
