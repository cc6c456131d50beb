// The connection: when to dial, by what, and when not to.
//
// There is at most one transport, and one socket that is opened beside an event stream.
// Whoever is let go is closed first and tells nothing more, so no event is ever late.

import { backoff, hint } from "./backoff.js";
import { createAlarm } from "./clock.js";
import { isDescriptor } from "./descriptor.js";
import { createDialer } from "./dialer.js";
import { ChatError } from "./errors.js";
import { createFetch } from "./fetch.js";
import { createGuest } from "./guest.js";
import { createHttp } from "./http.js";
import type { Link, Owner, Welcome } from "./link.js";
import { platformOf } from "./platform.js";
import { guarded } from "./report.js";
import { createStore } from "./store.js";
import type { End, Transport as Connection } from "./transport.js";
import type { ClientOptions, ConnectionState, Descriptor, Reason, Transport } from "./types.js";

const HIDDEN_MS = 300_000;
const ONLINE_JITTER_MS = 1_000;
const SHORTEST_WAIT_MS = 250;
const FAILED_OPENS = 2;
const UPGRADE_MS = 60_000;
const MAX_UPGRADE_MS = 600_000;
const IDENTITY_CHANGED = 4003;
const GUEST = "guest";

export function createLink(options: ClientOptions, owner: Owner): Link {
  const platform = platformOf(options);
  const { clock, lifecycle, random } = platform;
  const { stableMs = 10_000 } = options.reconnect ?? {};
  const { bootstrap } = options;
  const state = createStore<ConnectionState>({ status: "idle" });
  const guest = createGuest(platform.storage, options.name);
  const taught = (answer: Response): void => guarded(() => owner.taught(answer));
  const http = createHttp(platform.fetch, guest, options.headers, taught);
  const dialer = createDialer(options, owner, platform, guest, http);

  /** Open or opening; `beside` is a socket that is tried while a stream is open. */
  let transport: Connection | undefined;
  let beside: Connection | undefined;
  /** Grows whenever what was begun before is no longer wanted. */
  let turn = 0;
  let isDialing = false;
  let isWanted = false;
  let isClosed = false;
  let isSuspended = false;
  let unsubscribe: (() => void) | undefined;
  let reason: Reason = { code: 0, text: "", by: "client" };
  /** Whom the ticket made of us: a user's id, or any guest; "" is not known. */
  let whose = "";
  let onlineAt = 0;
  /** The next try, and before when there must be none, whatever happens. */
  let due = 0;
  let notBefore = 0;
  /** Since the last connection that held. */
  let failures = 0;
  /** Sockets in a row that did not come to a welcome, for no reason of the server's. */
  let failedOpens = 0;
  let upgradeMs = UPGRADE_MS;

  const next = createAlarm(clock, go);
  const upgrade = createAlarm(clock, () => void tryWebSocket());
  const hidden = createAlarm(clock, putAside);

  const isOnline = (): boolean => state.get().status === "online";
  const isAway = (): boolean => isSuspended || !lifecycle.visible();

  /** Dial if it is time to, or say what is waited for. */
  function go(): void {
    next.off();
    if (!isWanted || isDialing || transport || !(bootstrap || dialer.hasUrl())) return;
    const attempt = failures + 1;
    if (isAway()) {
      state.set({ status: "paused" });
    } else if (!lifecycle.online()) {
      state.set({ status: "offline", reason });
    } else if (clock.now() < due) {
      next.set(due);
      state.set({ status: "waiting", attempt, nextTryAt: due, reason });
    } else {
      isDialing = true;
      const mine = ++turn;
      state.set({ status: "connecting", attempt });
      void dial(mine);
    }
  }

  async function dial(mine: number): Promise<void> {
    const isBlocked = dialer.hasUrl() && failedOpens >= FAILED_OPENS;
    const end = isBlocked ? undefined : await dialer.prepare();
    if (mine !== turn) return;
    isDialing = false;
    if (end) lost(end);
    // Hidden meanwhile.
    else if (isAway()) go();
    else transport = open(isBlocked ? "event-stream" : "websocket");
  }

  function open(by: Transport): Connection {
    const self = dialer.dial(by, {
      welcomed(welcome) {
        if (beside === self) {
          beside = undefined;
          cut();
          transport = self;
          guarded(() => owner.lost());
        }
        online(by, welcome);
      },
      heard: (push) => guarded(() => owner.heard(push)),
      gone(end) {
        if (beside === self) beside = undefined;
        else lost(end, by);
      },
    });
    return self;
  }

  function online(by: Transport, welcome: Welcome): void {
    dialer.keep(welcome.ticket);
    guest.keep(welcome.guest);
    const { kind, id } = welcome.user;
    // Who the event stream is, cookies say and no ticket.
    whose = by === "event-stream" ? "" : kind === "guest" ? GUEST : id;
    onlineAt = clock.now();
    if (by === "websocket") {
      failedOpens = 0;
      upgradeMs = UPGRADE_MS;
    } else {
      upgrade.set(onlineAt + upgradeMs);
    }
    const mine = turn;
    state.set({ status: "online", since: onlineAt, transport: by });
    // Unless a listener has ended it.
    if (mine === turn) guarded(() => owner.welcomed(welcome));
  }

  /** The transport is gone, or there is none. */
  function lost(end: End, by?: Transport): void {
    ({ reason } = end);
    if (by && !isOnline()) {
      // Where the stream fails too, the server is away: both are tried in turn.
      if (by === "event-stream") failedOpens = FAILED_OPENS - 1;
      else if (reason.by !== "server") failedOpens++;
    }
    if (end.final || reason.code === IDENTITY_CHANGED) dialer.forget();
    dialer.keep(end.ticket);
    leave(() => {
      if (end.final) {
        isWanted = false;
        state.set({ status: "closed", reason });
        return;
      }
      const waitMs = hint(end.waitMs);
      notBefore = clock.now() + Math.max(SHORTEST_WAIT_MS, waitMs);
      due = clock.now() + backoff(random, failures++, waitMs, options.reconnect);
      go();
    });
  }

  /** Close whatever is open or begun, say what is now, and then that it was lost. */
  function leave(say: () => void): void {
    const wasOnline = isOnline();
    cut();
    say();
    if (wasOnline) guarded(() => owner.lost());
  }

  function cut(): void {
    turn++;
    isDialing = false;
    next.off();
    upgrade.off();
    transport?.close();
    beside?.close();
    transport = beside = undefined;
    if (isOnline() && clock.now() - onlineAt >= stableMs) failures = 0;
  }

  /** Have no connection until the page is back. */
  function putAside(): void {
    leave(go);
  }

  /** Open a socket while the stream goes on, to change over once it is welcome. */
  async function tryWebSocket(): Promise<void> {
    const mine = turn;
    upgrade.set(clock.now() + upgradeMs);
    upgradeMs = Math.min(MAX_UPGRADE_MS, upgradeMs * 2);
    if (beside || isAway() || !lifecycle.online()) return;
    const end = await dialer.prepare();
    if (!end && mine === turn) beside ??= open("websocket");
  }

  function lived(event: Parameters<Parameters<typeof lifecycle.subscribe>[0]>[0]): void {
    const now = clock.now();
    if (event === "suspend") {
      isSuspended = true;
      putAside();
    } else if (event === "hidden") {
      hidden.set(now + HIDDEN_MS);
      go();
    } else if (event === "offline") {
      // A socket may live on: it is asked. What is only being begun is given up.
      if (isOnline()) transport?.probe();
      else putAside();
    } else {
      const isNetwork = event === "online";
      if (!isNetwork) {
        isSuspended = false;
        hidden.off();
      }
      transport?.probe();
      const current = state.get();
      if (isNetwork && current.status === "online" && current.transport === "event-stream") {
        upgrade.set(now);
      }
      due = Math.max(notBefore, now + (isNetwork ? random() * ONLINE_JITTER_MS : 0));
      go();
    }
  }

  function want(): void {
    if (isClosed) return;
    isWanted = true;
    unsubscribe ??= lifecycle.subscribe(lived);
    due = notBefore;
    go();
  }

  /** Whether a descriptor is not that of the person who is online. */
  function isAnothers({ guest: token, user }: Descriptor): boolean {
    const person = token ? GUEST : user?.id;
    return whose !== "" && (person ? person !== whose : whose === GUEST);
  }

  /** @param isFetched - it came with an answer, perhaps to a request that said not who asks */
  function attach(descriptor: Descriptor, isFetched?: boolean): void {
    if (isClosed || !isDescriptor(descriptor)) return;
    const { guest: token } = descriptor;
    if (transport && !(isAnothers(descriptor) && !(isFetched && token))) {
      guarded(() => owner.described?.(descriptor));
      return;
    }
    leave(() => {
      // Whoever one was before may still be asked for.
      dialer.forget();
      dialer.follow(descriptor);
      // A page that was rendered for a guest knows only a new one: be who one was.
      if (token && guest.token && guest.token !== token) dialer.forget();
      else guest.keep(token);
      whose = "";
      want();
    });
  }

  return {
    state,
    open() {
      // Not where the server has said not to come back: that is for `retryNow`.
      if (state.get().status === "idle") want();
    },
    attach: (descriptor) => attach(descriptor),
    retryNow: want,
    rename(name) {
      guest.keep("", name);
      dialer.forget();
      if (transport || isDialing) leave(want);
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      isWanted = false;
      unsubscribe?.();
      hidden.off();
      leave(() => state.set({ status: "closed", reason: { code: 1000, text: "", by: "client" } }));
    },
    fetch: createFetch(platform.fetch, bootstrap, guest, (each) => attach(each, true), taught),
    call(command) {
      if (transport && isOnline()) return transport.call(command);
      return Promise.reject(new ChatError(isWanted ? "lost" : "closed", "There is no connection."));
    },
    post(command) {
      if (isOnline()) transport?.post(command);
    },
  };
}
