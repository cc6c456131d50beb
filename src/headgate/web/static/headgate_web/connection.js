// The page's connection: a WebSocket that comes back by itself, and commands that
// have replies. What is said over it is the page's affair.

const now = () => performance.now(); // ms; unlike the time of day it only grows

const HELD_MS = 10_000; // a connection that lasted so long was a good one
const ANSWER_MS = 10_000; // silence after a question means that it is dead
const CEILING_MS = 500; // of the wait before the first try; it doubles
const CAP_MS = 20_000; // where it stops doubling

/** What a command is rejected with when the connection ends before its reply. */
export const LOST = { lost: true };

export class Connection {
  #socket = null; // null between tries
  #welcomedAt = 0; // 0 before the welcome
  #heardAt = 0;
  #askedAt = 0; // since when a sign of life is waited for, or 0
  #ceiling = CEILING_MS;
  #heartbeat = 25_000;
  #lastId = 0;
  #calls = new Map(); // commands that wait for their reply
  #said = null; // the last error that answered no command: why the server will close

  retryAt = 0; // when the next try is due, or 0
  comeBackIn = 0; // what the server asked to wait at least
  maxBytes = 16_384; // of a command

  /**
   * @param url where to
   * @param hello returns the first command
   * @param hear takes each push
   * @param unread takes an error about a command whose id the server could not read
   * @param changed takes the state (connecting, waiting, stopped) and why
   */
  constructor({ url, hello, hear, unread, changed }) {
    Object.assign(this, { url, hello, hear, unread, changed });
  }

  open() {
    this.#end();
    [this.retryAt, this.#said, this.#welcomedAt] = [0, null, 0];
    this.changed("connecting");
    const socket = new WebSocket(this.url, "headgate.v1");
    [this.#socket, this.#askedAt] = [socket, now()];
    const ifUsed = (act) => (event) => { if (this.#socket === socket) act(event); };
    socket.onopen = ifUsed(() => {
      this.call(this.hello()).catch((error) => error.lost || this.stop(error.text));
    });
    socket.onmessage = ifUsed(({ data }) => this.#take(JSON.parse(data)));
    socket.onclose = ifUsed(({ code, reason }) => this.#closed(code, reason));
  }

  /** Send what has no reply; returns whether it went out. */
  post(command) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  /** Send a command; resolves with its reply, rejects with its error. */
  call(command) {
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      const id = this.#lastId;
      if (this.post({ ...command, id })) this.#calls.set(id, { resolve, reject });
      else reject(LOST);
    });
  }

  /** The same, waiting as often as the server asks to. */
  async callPatiently(command) {
    for (;;) {
      const socket = this.#socket;
      try { return await this.call(command); } catch (error) {
        if (!error.retry_after_ms) throw error;
        await new Promise((resolve) => { setTimeout(resolve, error.retry_after_ms); });
        if (this.#socket !== socket) throw LOST;
      }
    }
  }

  /** Return by how many bytes a command is longer than the server takes. */
  excess(command) {
    const whole = JSON.stringify({ ...command, id: this.#lastId + 1000 });
    return new TextEncoder().encode(whole).length - this.maxBytes;
  }

  /** Look at the clock; to be called a few times a second. */
  tick() {
    const silent = this.#welcomedAt && now() - this.#heardAt > this.#heartbeat;
    if (this.retryAt) {
      if (now() >= this.retryAt) this.open();
    } else if (this.#askedAt) {
      if (now() - this.#askedAt > ANSWER_MS) this.lose();
    } else if (silent && this.post({ cmd: "ping", id: 0 })) {
      this.#askedAt = now();
    }
  }

  /** End it, and come back after a wait: capped, then jittered in full. */
  lose() {
    if (this.#welcomedAt && now() - this.#welcomedAt > HELD_MS) this.#ceiling = CEILING_MS;
    this.#end();
    this.retryAt = now() + this.comeBackIn + Math.random() * this.#ceiling;
    [this.comeBackIn, this.#ceiling] = [0, Math.min(CAP_MS, this.#ceiling * 2)];
    this.changed("waiting");
  }

  /** End it for good. */
  stop(why) {
    this.#end();
    this.changed("stopped", why);
  }

  #end() {
    const socket = this.#socket;
    [this.#socket, this.#askedAt, this.retryAt] = [null, 0, 0];
    socket?.close();
    for (const { reject } of this.#calls.values()) reject(LOST);
    this.#calls.clear();
  }

  /** Codes from 4500 to 4999 mean: don't come back. */
  #closed(code, reason) {
    if (code >= 4500 && code < 5000) this.stop(this.#said?.text ?? reason);
    else this.lose();
  }

  #take(message) {
    [this.#heardAt, this.#askedAt] = [now(), 0];
    if ("reply" in message) {
      this.#answer(message);
      return;
    }
    if (message.push === "welcome") {
      [this.#welcomedAt, this.#heartbeat] = [now(), message.heartbeat_ms];
      this.maxBytes = message.max_message_bytes;
    }
    if (message.push === "going_away") this.comeBackIn = message.reconnect_in_ms;
    this.hear(message);
  }

  #answer(message) {
    const { reply, error } = message;
    const call = this.#calls.get(reply);
    this.#calls.delete(reply);
    if (call) {
      if (error) call.reject(error);
      else call.resolve(message);
    } else if (error) {
      this.#said = error;
      if (["bad_command", "too_large"].includes(error.code)) this.unread(error);
    }
  }
}
