// WebSockets whose other end is the test.

import type { WebSocketConstructor, WebSocketLike } from "../../src/types.js";

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

export type SentCommand = { cmd: string; id?: number; [field: string]: any };

export class FakeSocket implements WebSocketLike {
  readyState: number = CONNECTING;
  bufferedAmount = 0;
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;

  /** What the client sent. */
  readonly sent: SentCommand[] = [];
  /** How the client closed it, once it did. */
  closedWith: { code?: number | undefined; reason?: string | undefined } | null = null;
  /** Called with each command, at the moment when it is sent. */
  received: (command: SentCommand) => void = () => {};
  /** The other end is gone, and nobody says so: a close of the client's never completes. */
  dead = false;

  constructor(
    readonly url: string,
    readonly protocols: readonly string[],
  ) {}

  /** Not closed, nor being closed, by either side. */
  get live(): boolean {
    return this.readyState <= OPEN;
  }

  // --- the client's side ---

  send(data: string): void {
    if (this.readyState === CONNECTING) throw new Error("InvalidStateError: still connecting");
    if (this.readyState !== OPEN) return;
    const command = JSON.parse(data) as SentCommand;
    this.sent.push(command);
    if (!this.dead) this.received(command);
  }

  close(code?: number, reason?: string): void {
    if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
      throw new Error(`InvalidAccessError: ${code} is not for applications`);
    }
    if (this.readyState >= CLOSING) return;
    const never = this.readyState === CONNECTING;
    this.readyState = CLOSING;
    this.closedWith = { code, reason };
    if (this.dead) return;
    void Promise.resolve().then(() => {
      if (never) this.fail();
      this.finish(never ? 1006 : (code ?? 1005), reason ?? "");
    });
  }

  // --- the server's side ---

  /** The handshake succeeds. */
  open(): void {
    if (this.readyState !== CONNECTING) return;
    this.readyState = OPEN;
    this.onopen?.({ type: "open" });
  }

  /** The server sends an object, or text as it is. */
  say(frame: unknown): void {
    if (this.readyState !== OPEN && this.readyState !== CLOSING) return;
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  /** The server closes, or with 1006 the network breaks. */
  drop(code = 1006, reason = ""): void {
    if (this.readyState === CLOSED) return;
    if (code === 1006) this.fail();
    this.finish(code, reason);
  }

  private fail(): void {
    // As `ws` does in Node: an error that nobody listens to is thrown.
    if (!this.onerror) throw new Error("Unhandled error event.");
    this.onerror({ type: "error" });
  }

  private finish(code: number, reason: string): void {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.onclose?.({ code, reason, wasClean: code !== 1006 });
  }
}

export class FakeSockets {
  readonly all: FakeSocket[] = [];
  /** To give as the option `WebSocket`. */
  readonly WebSocket: WebSocketConstructor;

  /** @param made - called with each socket that the client makes; by then it listens to nothing */
  constructor(made: (socket: FakeSocket) => void = () => {}) {
    const all = this.all;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: string | string[] = []) {
        super(url, typeof protocols === "string" ? [protocols] : protocols);
        all.push(this);
        made(this);
      }
    };
  }

  get last(): FakeSocket {
    const last = this.all.at(-1);
    if (!last) throw new Error("No socket was made.");
    return last;
  }

  /** Those that are open or opening. */
  get live(): FakeSocket[] {
    return this.all.filter((socket) => socket.live);
  }
}
