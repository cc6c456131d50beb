// The elements of a page that come from the same place share one client, which is one
// connection; the last one that goes closes it.

import { createClient } from "../client.js";
import { csrfToken, refusalOf } from "../http.js";
import { refusal } from "../transport.js";
import type { Client, Descriptor } from "../types.js";

/** What a page says in its JSON. */
export interface Config {
  readonly strings?: Readonly<Record<string, string>>;
  /** Whether one has no account. */
  readonly guest?: boolean;
  /** Where one can sign in. */
  readonly sign_in?: string;
  readonly descriptor?: Descriptor;
  /** What shows that a request is this page's own, where no cookie says it. */
  readonly csrf?: { readonly header: string; readonly token: string };
}

export interface Lease {
  readonly client: Client;
  /** Ask the API; `path` is below its base. Rejects with a ChatError. */
  get(path: string): Promise<unknown>;
  patch(path: string, body: object): Promise<unknown>;
  /** How large a command may be. */
  maxBytes(): number;
  /** Watch a room, as long as one of those who did has not left it. */
  join(room: string): void;
  leave(room: string): void;
  release(): void;
}

interface Shared {
  readonly client: Client;
  readonly rooms: Map<string, number>;
  users: number;
  maxBytes: number;
  csrf: Config["csrf"];
}

const shared = new Map<string, Shared>();

export function lease(bootstrap: string, { csrf }: Config): Lease {
  const base = bootstrap.replace(/connect\/?$/, "");
  const held = shared.get(bootstrap) ?? open(bootstrap);
  const { client, rooms } = held;
  let released = false;
  held.users++;
  // Any of the elements may bring it.
  held.csrf ??= csrf;

  async function ask(path: string, init: RequestInit): Promise<unknown> {
    const answer = await client.fetch(base + path, init);
    if (!answer.ok) throw refusal(await refusalOf(answer));
    return answer.json();
  }
  function proof(): Record<string, string> {
    const token = csrfToken(base);
    return { ...(token && { "X-CSRFToken": token }), ...headersOf(held) };
  }
  const count = (room: string, by: number): number => {
    const users = (rooms.get(room) ?? 0) + by;
    rooms.set(room, users);
    return users;
  };
  return {
    client,
    get: (path) => ask(path, {}),
    patch: (path, body) =>
      ask(path, {
        method: "PATCH",
        headers: { "Content-Type": "application/json", ...proof() },
        body: JSON.stringify(body),
      }),
    maxBytes: () => held.maxBytes,
    join(room) {
      if (count(room, 1) === 1) client.room(room).join();
    },
    leave(room) {
      if (!count(room, -1)) client.room(room).leave();
    },
    release() {
      if (released) return;
      released = true;
      held.users--;
      // A moment later: an element that is only moved goes and comes at once.
      setTimeout(() => {
        if (held.users || shared.get(bootstrap) !== held) return;
        shared.delete(bootstrap);
        client.close();
      });
    },
  };
}

const headersOf = ({ csrf }: Shared): Record<string, string> =>
  csrf ? { [csrf.header]: csrf.token } : {};

function open(bootstrap: string): Shared {
  const client = createClient({
    bootstrap,
    agent: "headgate-element",
    outbox: { persist: true },
    headers: () => headersOf(held),
  });
  const held: Shared = { client, rooms: new Map(), users: 0, maxBytes: 16_384, csrf: undefined };
  client.on("push", ({ max_message_bytes: bytes }) => {
    if (typeof bytes === "number") held.maxBytes = bytes;
  });
  shared.set(bootstrap, held);
  return held;
}
