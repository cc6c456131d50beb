// Dialing: where to, as whom and with which ticket. When, the connection says.

import { askDescriptor } from "./descriptor.js";
import { openEventStream } from "./event_stream.js";
import type { Guest } from "./guest.js";
import type { Http } from "./http.js";
import type { Owner } from "./link.js";
import type { Platform } from "./platform.js";
import { guarded } from "./report.js";
import { openSocket } from "./socket.js";
import { createPocket, WELCOME_TICKET_MS } from "./ticket.js";
import type { End, Transport as Connection, TransportEvents } from "./transport.js";
import type { ClientOptions, Descriptor, Transport } from "./types.js";

export interface Dialer {
  /** Whether a descriptor has said where. */
  hasUrl(): boolean;
  /** See that there is a ticket, where there is somebody to ask for one; else say why not. */
  prepare(): Promise<End | undefined>;
  dial(by: Transport, events: TransportEvents): Connection;
  /** Go where a descriptor says, and tell the owner of it. */
  follow(descriptor: Descriptor): void;
  /** Keep a ticket of a welcome or a farewell. */
  keep(ticket: string | undefined): void;
  /** Have no ticket: who one is must be shown afresh. */
  forget(): void;
}

export function createDialer(
  options: ClientOptions,
  owner: Owner,
  platform: Platform,
  guest: Guest,
  http: Http,
): Dialer {
  const { bootstrap, agent, pace } = options;
  const { connectTimeoutMs = 10_000 } = options.reconnect ?? {};
  const { clock } = platform;
  const pocket = createPocket(clock);
  let url = "";
  let asking: Promise<End | undefined> | undefined;

  function follow(descriptor: Descriptor): void {
    ({ url } = descriptor);
    pocket.put(descriptor.ticket, descriptor.ticket_expires_in_ms);
    guarded(() => owner.described?.(descriptor));
  }

  return {
    hasUrl: () => !!url,
    async prepare() {
      if (!bootstrap || !pocket.isEmpty()) return undefined;
      // However often it is begun anew, one question is open.
      if (asking) return asking;
      const question = askDescriptor(options, guest, http, clock, connectTimeoutMs).then(
        (found): End | undefined => {
          // It was asked by who one was before.
          if (asking !== question) return undefined;
          asking = undefined;
          if ("reason" in found) return found;
          follow(found);
          guest.keep(found.guest);
          return undefined;
        },
      );
      return (asking = question);
    },
    dial(by, events) {
      if (by === "event-stream") {
        // ws(s)://…/ws/chat/ and http(s)://…/api/v1/ stand beside each other.
        const base = url.replace(/^ws(.*\/)ws\/chat\/.*/, "http$1api/v1/");
        const resume = (): ReturnType<Owner["resume"]> => owner.resume();
        return openEventStream(platform, http, base, connectTimeoutMs, resume, events);
      }
      const hello = (): { cmd: "hello" } => {
        const { resume, pending } = owner.resume();
        // JSON leaves out what is undefined.
        const who = { ticket: pocket.take(), guest: guest.token, name: guest.name };
        return { cmd: "hello", ...who, ...{ agent, pace, resume, pending } };
      };
      return openSocket(platform, url, connectTimeoutMs, hello, events);
    },
    follow,
    keep(ticket) {
      if (ticket) pocket.put(ticket, WELCOME_TICKET_MS);
    },
    forget() {
      pocket.take();
      asking = undefined;
    },
  };
}
