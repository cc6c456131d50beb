// The custom elements:
//
//   <headgate-chat room="general" bootstrap="/api/v1/connect" lang="en">
//   <headgate-rooms bootstrap="/api/v1/connect" current="general">
//
// Each may hold a `<script type="application/json">` with a `Config`. Children of the
// chat with `slot="start"` come to stand at the beginning of its head; what else it
// holds is for pages without JavaScript, and is replaced.

import { chat, type Chat } from "./element/chat.js";
import { roomList } from "./element/room_list.js";
import { lease, type Config, type Lease } from "./element/shared_client.js";

export type { Config };

const BOOTSTRAP = "/api/v1/connect";

const bootstrapOf = (element: Element): string => element.getAttribute("bootstrap") ?? BOOTSTRAP;

const languageOf = (element: Element): string =>
  element.closest<HTMLElement>("[lang]")?.lang || navigator.language;

function configOf(element: Element): Config {
  const script = element.querySelector(":scope > script[type='application/json']");
  return JSON.parse(script?.textContent ?? "{}") as Config;
}

/** Call `begin` once all of the element's children are there. */
function whenParsed(begin: () => void): void {
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", begin, { once: true });
  } else begin();
}

// Where there are no elements, on a server, the module can be imported all the same.
if (typeof HTMLElement !== "undefined" && typeof customElements !== "undefined") {
  class HeadgateChat extends HTMLElement {
    static readonly observedAttributes = ["room"];
    private _config: Config | undefined;
    private _start: readonly Element[] = [];
    private _lease: Lease | undefined;
    private _chat: Chat | undefined;

    connectedCallback(): void {
      whenParsed(() => {
        if (!this.isConnected || this._lease) return;
        if (!this._config) this._start = [...this.querySelectorAll(":scope > [slot=start]")];
        // A descriptor is good once, and not for an element that is moved later.
        const { descriptor, ...config } = this._config ?? configOf(this);
        this._config = config;
        this._lease = lease(bootstrapOf(this), config);
        if (descriptor) this._lease.client.attach(descriptor);
        this._show();
      });
    }

    disconnectedCallback(): void {
      this._chat?.stop();
      this._lease?.release();
      this._chat = this._lease = undefined;
    }

    attributeChangedCallback(_name: string, old: string | null, now: string | null): void {
      if (this._lease && old !== now) this._show();
    }

    private _show(): void {
      const room = this.getAttribute("room");
      const before = this._chat;
      this._chat =
        room && this._lease
          ? chat(this._lease, room, languageOf(this), this._config ?? {}, this._start)
          : undefined;
      this.replaceChildren(...(this._chat?.elements ?? []));
      // After the other one has come, so that one room more or less is all that changes.
      before?.stop();
    }
  }

  class HeadgateRooms extends HTMLElement {
    private _stop: (() => void) | undefined;

    connectedCallback(): void {
      whenParsed(() => {
        if (!this.isConnected || this._stop) return;
        const bootstrap = bootstrapOf(this);
        const config = configOf(this);
        const held = lease(bootstrap, config);
        const stop = roomList(this, held, languageOf(this), config, () =>
          [...document.querySelectorAll("headgate-chat")].filter(
            (element) => bootstrapOf(element) === bootstrap,
          ),
        );
        this._stop = () => {
          stop();
          held.release();
        };
      });
    }

    disconnectedCallback(): void {
      this._stop?.();
      this._stop = undefined;
    }
  }

  // A page may load two copies of this; the first one serves.
  for (const [name, element] of [
    ["headgate-chat", HeadgateChat],
    ["headgate-rooms", HeadgateRooms],
  ] as const) {
    if (!customElements.get(name)) customElements.define(name, element);
  }
}
