// A link in a place where everything is fake: clock, sockets, page, network, chance.

import { createLink } from "../../src/connection.js";
import type { Link, Owner, Resume, Welcome } from "../../src/link.js";
import type { ClientOptions, Descriptor, Push } from "../../src/types.js";
import { FakeClock } from "./fake_clock.js";
import { FakeLifecycle } from "./fake_lifecycle.js";
import { type FakeSocket, FakeSockets } from "./fake_socket.js";

export const DESCRIPTOR: Descriptor = {
  url: "ws://chat.test/ws/chat/",
  protocol: "headgate.v1",
  ticket: "ticket-0",
  ticket_expires_in_ms: 30_000,
  rooms: [],
};

export const WELCOME: Welcome = {
  push: "welcome",
  user: { id: "u:5", kind: "user", name: "Ada" },
  ticket: "ticket-of-welcome",
  rooms: {},
  limits: [],
  heartbeat_ms: 25_000,
  max_message_bytes: 16_384,
};

/** Notes what it is told, in order. */
export class FakeOwner implements Owner {
  readonly told: string[] = [];
  readonly welcomes: Welcome[] = [];
  readonly pushes: Push[] = [];
  readonly answers: Response[] = [];
  readonly descriptors: Descriptor[] = [];
  resumes: Resume = { resume: {}, pending: {}, rooms: [] };

  resume(): Resume {
    return this.resumes;
  }

  welcomed(welcome: Welcome): void {
    this.told.push("welcomed");
    this.welcomes.push(welcome);
  }

  heard(push: Push): void {
    this.told.push(push.push);
    this.pushes.push(push);
  }

  lost(): void {
    this.told.push("lost");
  }

  taught(answer: Response): void {
    this.answers.push(answer);
  }

  described(descriptor: Descriptor): void {
    this.descriptors.push(descriptor);
  }
}

export class FakePlace {
  readonly clock = new FakeClock();
  readonly lifecycle: FakeLifecycle;
  readonly sockets: FakeSockets;
  readonly owner = new FakeOwner();
  readonly link: Link;
  /** The states that the link was in, by name. */
  readonly states: string[] = [];
  /** What comes of chance: 0 waits the least. */
  chance = 0.5;

  /** @param made - called with each socket, as `FakeSockets` does */
  constructor(
    options: ClientOptions = {},
    made?: (socket: FakeSocket) => void,
    lifecycle: FakeLifecycle = new FakeLifecycle(),
  ) {
    this.lifecycle = lifecycle;
    this.sockets = new FakeSockets(made);
    this.link = createLink(
      {
        clock: this.clock,
        lifecycle: this.lifecycle,
        WebSocket: this.sockets.WebSocket,
        random: () => this.chance,
        storage: null,
        fetch: () => Promise.reject(new Error("There is no network.")),
        ...options,
      },
      this.owner,
    );
    this.link.state.subscribe(() => this.states.push(this.status));
  }

  get status(): string {
    return this.link.state.get().status;
  }

  /** Until the next try, in ms. */
  get waitMs(): number {
    const state = this.link.state.get();
    if (state.status !== "waiting") throw new Error(`It is ${state.status}.`);
    return state.nextTryAt - this.clock.now();
  }

  /** Attach, open the socket and be welcome. */
  async online(welcome: Partial<Welcome> = {}): Promise<FakeSocket> {
    this.link.attach(DESCRIPTOR);
    return this.welcome(welcome);
  }

  /** Welcome the socket that is being opened. */
  async welcome(welcome: Partial<Welcome> = {}): Promise<FakeSocket> {
    await this.clock.advance(0);
    const socket = this.sockets.last;
    socket.open();
    socket.say({ ...WELCOME, ...welcome });
    return socket;
  }
}
