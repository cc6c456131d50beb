// Against the real server. HEADGATE_URL is where `headgate serve --guests --demo` listens;
// with HEADGATE_SERVE, the path of that program, the test drains one of its own too.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";

import { createLink } from "../src/connection.js";
import type { Link, Owner, Welcome } from "../src/link.js";
import type { ClientOptions, ConnectionState, Push, WebSocketConstructor } from "../src/types.js";

const URL = process.env["HEADGATE_URL"];
const SERVE = process.env["HEADGATE_SERVE"];

/** An owner who watches one room, from now on or from a place. */
class Watcher implements Owner {
  readonly welcomes: Welcome[] = [];
  readonly pushes: Push[] = [];
  readonly statuses: string[] = [];
  losses = 0;
  place: { seq: number; epoch: string } | undefined;
  readonly link: Link;
  private readonly waiting = new Set<() => void>();

  constructor(
    url: string,
    readonly room: string,
    options: ClientOptions = {},
  ) {
    this.link = createLink(
      {
        bootstrap: `${url}/api/v1/connect`,
        WebSocket: WebSocket,
        storage: null,
        agent: "headgate-js test",
        ...options,
      },
      this,
    );
    this.link.state.subscribe(() => {
      this.statuses.push(this.link.state.get().status);
      this.changed();
    });
  }

  resume(): ReturnType<Owner["resume"]> {
    const { place, room } = this;
    return { resume: place ? { [room]: place } : {}, pending: {}, rooms: place ? [] : [room] };
  }

  welcomed(welcome: Welcome): void {
    this.welcomes.push(welcome);
    this.changed();
  }

  heard(push: Push): void {
    this.pushes.push(push);
    if (push.room === this.room && push.seq && this.place) {
      this.place = { ...this.place, seq: push.seq };
    }
    this.changed();
  }

  lost(): void {
    this.losses++;
  }

  taught(): void {
    this.changed();
  }

  /** Wait until something is so; the test's timeout is the limit. */
  async until<T>(look: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = look();
      if (found) return found;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Wait until one is online, by something. */
  online(transport: string): Promise<ConnectionState> {
    return this.until(() => {
      const state = this.link.state.get();
      return state.status === "online" && state.transport === transport && state;
    });
  }

  message(text: string): Promise<Push> {
    return this.until(() => this.pushes.find((push) => push["text"] === text));
  }

  private changed(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

/** Sockets as behind a proxy that knows none. */
class Blocked {
  onclose: ((event: any) => void) | null = null;
  constructor() {
    setTimeout(() => this.onclose?.({ code: 1006, reason: "" }));
  }
  send(): void {}
  close(): void {}
}

const BLOCKED = Blocked as unknown as WebSocketConstructor;

describe.skipIf(!URL)("the server (skipped unless HEADGATE_URL names one)", () => {
  const watchers: Watcher[] = [];
  let server: ChildProcess | undefined;
  let data: string | undefined;

  afterEach(async () => {
    for (const watcher of watchers.splice(0)) watcher.link.close();
    await stop("SIGKILL");
    if (data) await rm(data, { recursive: true });
    data = undefined;
  });

  /** End the server of one's own, if it runs. */
  async function stop(signal: NodeJS.Signals): Promise<void> {
    if (!server) return;
    const gone = once(server, "exit");
    server.kill(signal);
    server = undefined;
    await gone;
  }

  function watch(options: ClientOptions = {}, url = URL!): Watcher {
    const watcher = new Watcher(url, "general", options);
    watchers.push(watcher);
    watcher.link.open();
    return watcher;
  }

  /** Be in the room, from the newest page on. */
  async function enter(watcher: Watcher): Promise<void> {
    const page = await watcher.link.call({ cmd: "history", room: "general", limit: 5 });
    const place = { seq: page["head"] as number, epoch: page["epoch"] as string };
    const joined = await watcher.link.call({
      cmd: "join",
      room: "general",
      after: place.seq,
      epoch: place.epoch,
    });
    expect(joined).toMatchObject({ room: "general", epoch: place.epoch });
    watcher.place = place;
  }

  it("welcomes, answers, and sends what is said", async () => {
    const one = watch({ name: "Zoë" });
    const two = watch();
    for (const each of [one, two]) {
      await each.online("websocket");
      await enter(each);
    }
    expect(one.welcomes[0]!.user).toMatchObject({ kind: "guest", name: "Zoë" });
    expect(await one.link.call({ cmd: "ping" })).toHaveProperty("reply");
    const text = `hi ${crypto.randomUUID()}`;
    const sent = await one.link.call({ cmd: "send", room: "general", client_id: text, text });
    expect(await two.message(text)).toMatchObject({ seq: sent["seq"], author: { name: "Zoë" } });
    await expect(one.link.call({ cmd: "send", room: "general", text: " " })).rejects.toMatchObject({
      code: "bad_command",
      field: "text",
    });
  });

  it("is come back to as the same guest under another name", async () => {
    const watcher = watch({ name: "Zoë" });
    await watcher.online("websocket");
    watcher.link.rename("Ada");
    const [before, after] = await watcher.until(
      () => watcher.welcomes.length === 2 && watcher.welcomes,
    );
    expect(after!.user).toEqual({ ...before!.user, name: "Ada" });
  });

  it("is come back to with the welcome's ticket, and nothing is missed", async () => {
    const sockets: WebSocket[] = [];
    const noted = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    };
    const watcher = watch({ WebSocket: noted as unknown as WebSocketConstructor });
    await watcher.online("websocket");
    await enter(watcher);
    const other = watch();
    await other.online("websocket");
    sockets[0]!.terminate();
    await watcher.until(() => watcher.losses === 1);
    const text = `meanwhile ${crypto.randomUUID()}`;
    await other.link.call({ cmd: "send", room: "general", client_id: text, text });
    expect(await watcher.message(text)).toMatchObject({ room: "general" });
    expect(watcher.welcomes.map(({ user }) => user.id)).toEqual(
      Array(2).fill(watcher.welcomes[0]!.user.id),
    );
  });

  it("is read and written to without a WebSocket", async () => {
    const watcher = watch({ WebSocket: BLOCKED, name: "Eve" });
    await watcher.online("event-stream");
    await enter(watcher);
    const { user } = watcher.welcomes[0]!;
    const { call } = watcher.link;
    const text = `posted ${crypto.randomUUID()}`;
    const sent = await call({ cmd: "send", room: "general", client_id: text, text });
    const again = await call({ cmd: "send", room: "general", client_id: text, text });
    expect(again["seq"]).toBe(sent["seq"]);
    // The same person by the stream and by HTTP.
    expect(await watcher.message(text)).toMatchObject({ seq: sent["seq"], author: user });
    const target = sent["seq"];
    await call({ cmd: "edit", room: "general", target, text: "edited" });
    await call({ cmd: "delete", room: "general", target });
    await watcher.until(() => watcher.pushes.some((push) => push.push === "deleted"));
    const events = await call({ cmd: "history", room: "general", of: "events", after: target });
    expect(events["events"]).toMatchObject([{ push: "edited" }, { push: "deleted" }]);
    await expect(
      call({ cmd: "edit", room: "general", target: 999_999, text: "x" }),
    ).rejects.toMatchObject({ code: "not_found" });
    // Joining another room opens the stream anew; then its events come too.
    await call({ cmd: "join", room: "help" });
    const help = `help ${crypto.randomUUID()}`;
    await call({ cmd: "send", room: "help", client_id: help, text: help });
    expect(await watcher.message(help)).toMatchObject({ room: "help" });
    expect(watcher.statuses.filter((status) => status === "online")).toHaveLength(1);
  });

  it.skipIf(!SERVE)(
    "drains: all are told when to come back, and come back",
    async () => {
      data = await mkdtemp(path.join(tmpdir(), "headgate-js-"));
      const args = ["serve", "--data", data, "--guests", "--demo", "--port"];
      const start = async (port: string): Promise<string> => {
        server = spawn(SERVE!, [...args, port], { stdio: ["ignore", "pipe", "inherit"] });
        for await (const line of createInterface({ input: server.stdout! })) {
          return line.split(" ").at(-1)!;
        }
        throw new Error("The server did not start.");
      };
      const url = await start("0");
      // The new server takes some seconds to start.
      const reconnect = { maxMs: 1_000 };
      const socket = watch({ reconnect }, url);
      const stream = watch({ reconnect, WebSocket: BLOCKED }, url);
      await socket.online("websocket");
      await stream.online("event-stream");
      for (const each of [socket, stream]) await enter(each);
      const stopped = stop("SIGTERM");
      await socket.until(() => socket.pushes.some(({ push }) => push === "going_away"));
      const away = [socket, stream].map((each) =>
        each.until(() => each.losses && each.link.state.get()),
      );
      for (const state of await Promise.all(away))
        expect(state).toMatchObject({ status: "waiting" });
      await stopped;
      await start(new globalThis.URL(url).port);
      await socket.until(() => socket.welcomes.length === 2);
      await stream.until(() => stream.welcomes.length === 2);
      for (const { welcomes } of [socket, stream]) {
        expect(welcomes[1]!.user.id).toBe(welcomes[0]!.user.id);
      }
    },
    90_000,
  );
});
