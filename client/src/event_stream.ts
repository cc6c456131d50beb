// For those who cannot have a WebSocket: pushes by the event stream, commands by HTTP.
//
// Both are asked for as the same person: by cookie, by `headers` or as a guest. A ticket
// would open the stream, but no other request, and one would be somebody else there.

import { createAlarm } from "./clock.js";
import { createEventReader } from "./event_reader.js";
import { type Http, refusalOf } from "./http.js";
import type { Command, Owner, Reply, RoomStanding, Welcome, WireError } from "./link.js";
import type { Platform } from "./platform.js";
import { type Answer, createLine, type Transport, type TransportEvents } from "./transport.js";
import type { Push } from "./types.js";

const MAX_ROOMS = 100;
const ANSWER_MS = 10_000;
// Rooms that are joined together open the stream anew once.
const GATHER_MS = 20;

const METHODS: Record<string, string> = {
  send: "POST",
  edit: "PATCH",
  delete: "DELETE",
  cancel: "POST",
  history: "GET",
};

interface Join extends Command {
  readonly room: string;
  readonly after?: number;
  readonly epoch?: string;
}

interface Request extends Command {
  readonly room: string;
  readonly target?: number;
  readonly of?: string;
}

interface Place {
  readonly seq?: number;
  readonly to?: number;
  readonly head?: number;
  readonly epoch?: string;
}

/**
 * @param base - the URL of the API, with a slash at the end
 * @param timeoutMs - from asking to the welcome
 */
export function openEventStream(
  platform: Platform,
  http: Http,
  base: string,
  timeoutMs: number,
  resume: Owner["resume"],
  on: TransportEvents,
): Transport {
  const { clock } = platform;
  const requests = new AbortController();
  let reading = new AbortController();
  let standings = new Map<string, RoomStanding>();
  let joins: Join[] = [];
  let retryMs: number | undefined;

  const reopen = createAlarm(clock, () => void read());
  // The server speaks by itself: it need not be asked.
  const line = createLine(
    platform,
    timeoutMs,
    on,
    () => undefined,
    () => {
      reopen.off();
      reading.abort();
      requests.abort();
    },
  );

  const broken = (fault: unknown): void => line.end(0, String(fault), "network");

  /** Open the stream, in place of the one that is open. */
  async function read(): Promise<void> {
    reading.abort();
    const { signal } = (reading = new AbortController());
    line.expect();
    const { rooms, resume: known } = resume();
    const places: Record<string, { seq?: number | undefined; epoch?: string | undefined }> = {};
    for (const room of rooms) places[room] = {};
    Object.assign(places, known);
    for (const { room, after, epoch } of joins) places[room] = { seq: after, epoch };
    const names = Object.keys(places).slice(0, MAX_ROOMS);
    const id = names
      .map((room) => places[room]!)
      .flatMap(({ seq, epoch }) => (epoch ? `${epoch}-${seq}` : []))
      .join(".");
    try {
      const url = `${base}stream?rooms=${encodeURIComponent(names.join())}`;
      const answer = await http("GET", url, signal, null, id ? { "Last-Event-ID": id } : {});
      if (!answer.ok) {
        line.error = await refusalOf(answer);
        line.end(answer.status, "", "http");
        return;
      }
      const reader = answer.body!.getReader();
      const decoder = new TextDecoder();
      const parse = createEventReader((ms) => (retryMs = ms));
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        line.heard();
        for (const event of parse(decoder.decode(value, { stream: true }))) {
          if (signal.aborted) return;
          if (heard(JSON.parse(event) as Push)) {
            // Those who joined have their answer before the first event.
            await new Promise<void>((go) => void clock.setTimeout(go, 0));
          }
        }
      }
      line.end(0, "The stream has ended.", "server", { waitMs: retryMs });
    } catch (fault) {
      if (!signal.aborted) broken(fault);
    }
  }

  /** Take a push; true where it answered a call. */
  function heard(push: Push & { error?: WireError }): boolean {
    const { room } = push;
    if (push.push === "welcome") {
      const answered = joins;
      joins = [];
      standings = new Map(Object.entries((push as Welcome).rooms));
      line.welcome(push as Welcome);
      for (const join of answered) line.answer(join, standing(join));
      return answered.length > 0;
    }
    if (push.error) {
      line.error = push.error;
      return false;
    }
    if (room !== undefined) {
      const known = standings.get(room);
      if (!known) return false; // left
      // A gap ends at `to`; a reset has a head and an epoch of its own.
      const { seq, to = seq, head = to, epoch = known.epoch } = push as Place;
      if (head) standings.set(room, { ...known, head, epoch });
    }
    on.heard(push);
    return false;
  }

  const standing = ({ room }: Join): Reply & { error?: WireError } => ({
    reply: 0,
    room,
    ...standings.get(room),
  });

  function call(command: Command): Promise<Reply> {
    const answer = line.wait(command);
    const join = command as Join;
    const { room, after, epoch } = join;
    const known = standings.get(room);
    if (command.cmd === "leave") {
      standings.delete(room);
      line.answer(command, {});
    } else if (command.cmd !== "join") {
      void request(command);
    } else if (known && (after === undefined || (after >= known.head && epoch === known.epoch))) {
      line.answer(command, standing(join));
    } else {
      joins.push(join);
      reopen.set(clock.now() + GATHER_MS);
    }
    return answer;
  }

  /** Make a request of a command, and its reply of the answer. */
  async function request(command: Command): Promise<void> {
    const { cmd, room, target, of = "messages", ...fields } = command as Request;
    const method = METHODS[cmd];
    if (!method) {
      const text = `There is no ${cmd} without a WebSocket.`;
      line.answer(command, { error: { code: "unsupported", text } });
      return;
    }
    const late = createAlarm(clock, () => broken("No answer in time."));
    late.set(clock.now() + ANSWER_MS);
    // What is left out is no `undefined` in a query.
    const given = JSON.parse(JSON.stringify(fields)) as Record<string, string>;
    const query = method === "GET" ? `?${new URLSearchParams(given)}` : "";
    const path = cmd === "cancel" ? `/${given["seq"]}/cancel` : target ? `/${target}` : query;
    const url = `${base}rooms/${encodeURIComponent(room)}/${of}${path}`;
    try {
      const answer = await http(method, url, requests.signal, method[0] === "P" && fields);
      if (answer.ok) {
        line.answer(command, (await answer.json()) as Answer);
        return;
      }
      const error = await refusalOf(answer);
      // What a proxy says of the server is no answer to the command.
      if (answer.status >= 500 && error.code === "http") broken(error.text);
      else line.answer(command, { error });
    } catch (fault) {
      broken(fault);
    } finally {
      late.off();
    }
  }

  void read();

  return {
    call,
    post(command) {
      if (command.cmd === "leave") void call(command);
    },
    probe: () => undefined,
    close: line.close,
  };
}
