"use client";

// React hooks on the client's stores. Only `useRoom` watches a room: it joins in an
// effect, never while rendering.

import {
  createContext,
  createElement,
  useContext,
  useEffect,
  useMemo,
  useSyncExternalStore,
  type ReactElement,
  type ReactNode,
} from "react";
import type {
  Allowance,
  Author,
  Client,
  Clock,
  ConnectionState,
  JsonObject,
  Outgoing,
  Presence,
  Room,
  Store,
  Timeline,
} from "./types.js";

// What a server renders, and the browser until it has taken over: nothing is known yet,
// whatever the client has heard in the meantime.
const IDLE: ConnectionState = { status: "idle" };
const NOTHING: readonly never[] = [];
const NOBODY: Presence = { here: NOTHING, off: false };
const FREE: Allowance = {
  remaining: 1,
  burst: 1,
  freeAt: null,
  secondsLeft: 0,
  policy: null,
  slowModeMs: 0,
};
const EMPTY: Timeline<never> = {
  status: "idle",
  messages: NOTHING,
  unsent: NOTHING,
  gaps: NOTHING,
  hasOlder: false,
  loadingOlder: false,
  title: "",
  head: 0,
  epoch: "",
  read: 0,
  unread: 0,
  moderates: false,
  readOnly: false,
};

const Context = createContext<Client<any> | null>(null);

/** Gives the hooks below it their client. It neither opens nor closes it. */
export function HeadgateProvider(props: {
  readonly client: Client<any>;
  readonly children?: ReactNode;
}): ReactElement {
  return createElement(Context.Provider, { value: props.client }, props.children);
}

/** @throws Error outside of a `HeadgateProvider` */
export function useClient<Data = JsonObject>(): Client<Data> {
  const client = useContext(Context);
  if (!client) throw new Error("There is no HeadgateProvider around this component.");
  return client as Client<Data>;
}

/** How the connection is; while it waits, the whole seconds until the next try. */
export function useConnection(): ConnectionState & { readonly secondsLeft: number } {
  const { state, clock } = useClient();
  const now = useStore(state, IDLE);
  const end = now.status === "waiting" ? now.nextTryAt : null;
  const secondsLeft = useStore(
    useMemo(() => countdown(clock, end), [clock, end]),
    0,
  );
  return useMemo(() => ({ ...now, secondsLeft }), [now, secondsLeft]);
}

/** A room, with its timeline as it is now in place of the store. */
export type WatchedRoom<Data = JsonObject> = Omit<Room<Data>, "timeline"> & {
  readonly timeline: Timeline<Data>;
};

/** Watch a room for as long as the component is there. */
export function useRoom<Data = JsonObject>(name: string): WatchedRoom<Data> {
  const client = useClient<Data>();
  const room = client.room(name);
  const timeline = useStore(room.timeline, EMPTY);
  useEffect(() => hold(client, room), [client, room]);
  return useMemo(() => ({ ...room, timeline }), [room, timeline]);
}

/** Whether one may send to a room now; `secondsLeft` counts down. */
export function useAllowance(name: string): Allowance {
  return useStore(useClient().room(name).allowance, FREE);
}

/** What is not acknowledged: in one room, or in all. */
export function useOutbox<Data = JsonObject>(name?: string): readonly Outgoing<Data>[] {
  const all = useStore(useClient<Data>().outbox, NOTHING);
  return useMemo(
    () => (name === undefined ? all : all.filter((outgoing) => outgoing.room === name)),
    [all, name],
  );
}

/** Who else is writing in a room. */
export function useTypists(name: string): readonly Author[] {
  return useStore(useClient().room(name).typists, NOTHING);
}

/** Who is in a room. */
export function usePresence(name: string): Presence {
  return useStore(useClient().room(name).presence, NOBODY);
}

/** The unfinished text of a room and how to change it, like `useState`. */
export function useDraft(name: string): readonly [text: string, set: (text: string) => void] {
  const room = useClient().room(name);
  return [useStore(room.draft, ""), room.setDraft];
}

function useStore<T>(store: Store<T>, atServer: T): T {
  return useSyncExternalStore(store.subscribe, store.get, () => atServer);
}

// --- rooms that are watched ---

interface Hold {
  count: number;
  leaving?: unknown;
}

const holds = new WeakMap<object, Hold>();

/** Join a room for the first who wants it, and leave it a moment after the last. */
function hold(client: Client<any>, room: Room<any>): () => void {
  let held = holds.get(room);
  if (!held) {
    // Joined by the page itself: not for components to leave.
    if (client.rooms.get().includes(room.name)) return () => undefined;
    holds.set(room, (held = { count: 0 }));
  }
  const mine = held;
  const { clock } = client;
  mine.count += 1;
  clock.clearTimeout(mine.leaving);
  room.join();
  return () => {
    mine.count -= 1;
    // One macrotask later: StrictMode, hot reloading and a move to another parent
    // unmount and mount again at once, and are none of the server's business.
    if (!mine.count) {
      mine.leaving = clock.setTimeout(() => {
        holds.delete(room);
        room.leave();
      }, 0);
    }
  };
}

// --- seconds that are left ---

/** Whole seconds until `end`; looks at the clock only while somebody sees it. */
function countdown(clock: Clock, end: number | null): Store<number> {
  const page = typeof document === "undefined" ? null : document;
  const left = (): number => (end === null ? 0 : Math.max(0, end - clock.now()));
  const whole = (ms: number): number => Math.ceil(ms / 1000);
  let seconds = whole(left());
  return {
    get: () => seconds,
    subscribe(listener) {
      let timer: unknown;
      const tick = (): void => {
        clock.clearTimeout(timer);
        const ms = left();
        if (seconds !== whole(ms)) {
          seconds = whole(ms);
          listener();
        }
        if (ms > 0 && !page?.hidden) timer = clock.setTimeout(tick, ms % 1000 || 1000);
      };
      page?.addEventListener("visibilitychange", tick);
      tick();
      return () => {
        page?.removeEventListener("visibilitychange", tick);
        clock.clearTimeout(timer);
      };
    },
  };
}
