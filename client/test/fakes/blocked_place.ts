// A place behind a proxy that knows no WebSockets: what is left is the event stream.

import type { ChatError } from "../../src/errors.js";
import type { Reply } from "../../src/link.js";
import { settle } from "./fake_clock.js";
import { FakeEvents, FakeNetwork } from "./fake_network.js";
import { DESCRIPTOR, FakePlace, WELCOME } from "./fake_place.js";

export const GENERAL = { head: 10, epoch: "aa" };
export const HELP = { head: 3, epoch: "bb" };

export class BlockedPlace extends FakePlace {
  readonly network: FakeNetwork;
  readonly streams: FakeEvents[] = [];
  /** Whether sockets come to nothing. */
  isBlocked = true;

  constructor() {
    const network = new FakeNetwork();
    const headers = (): Record<string, string> => ({ Authorization: "Bearer b" });
    super({ fetch: network.fetch, headers }, (socket) => {
      if (this.isBlocked) void Promise.resolve().then(() => socket.drop());
    });
    this.network = network;
    network.answer = ({ url }) => {
      if (!url.includes("/stream")) return undefined;
      this.streams.push(new FakeEvents());
      return this.streams.at(-1)!.response;
    };
    this.owner.resumes = {
      resume: { general: { seq: 8, epoch: "aa" } },
      pending: {},
      rooms: ["help"],
    };
  }

  /** Fail twice, then open the stream and be welcome there. */
  async stream(): Promise<FakeEvents> {
    this.link.attach({ ...DESCRIPTOR, guest: "g-token" });
    await this.clock.advance(2_000);
    const stream = this.streams.at(-1)!;
    stream.push({ ...WELCOME, ticket: undefined, rooms: { general: GENERAL, help: HELP } });
    await settle();
    return stream;
  }
}

/** How a call ends: the code of its refusal, or `answered`. */
export function code(call: Promise<Reply>): Promise<string> {
  return call.then(
    () => "answered",
    (error: unknown) => (error as ChatError).code,
  );
}
