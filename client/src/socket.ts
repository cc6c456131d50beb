// One WebSocket: open, hello, welcome, replies matched to commands, the close.

import { createAlarm } from "./clock.js";
import { FIRST_FINAL_CLOSE } from "./codes.js";
import { encode } from "./json.js";
import type { Command, Welcome, WireError } from "./link.js";
import type { Platform } from "./platform.js";
import { createLine, type Transport, type TransportEvents } from "./transport.js";
import type { Push, WebSocketLike } from "./types.js";

const FIRST_BEYOND_CLOSES = 5000;
// Faults of the client's, which coming back would repeat.
const OWN_FAULTS = [1002, 1003, 1007, 1008, 1009];
const BROKEN = 1006;

type Frame = Partial<Push & { reply: number | null; error: WireError }>;

/**
 * @param timeoutMs - from opening to the welcome
 * @param hello - asked once, when it can be sent
 */
export function openSocket(
  platform: Platform,
  url: string,
  timeoutMs: number,
  hello: () => Command,
  on: TransportEvents,
): Transport {
  const { clock } = platform;
  let socket: WebSocketLike | undefined;
  let lastId = 0;
  let backAt: number | undefined;
  let ticket: string | undefined;

  const line = createLine(
    platform,
    timeoutMs,
    on,
    () => send({ cmd: "ping" }),
    () => {
      if (!socket) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    },
  );

  function send(command: Command): number {
    socket!.send(encode({ ...command, id: ++lastId }));
    return lastId;
  }

  function heard(frame: Frame): void {
    const { push, reply, error } = frame;
    // The reason of a close comes right before it: what was said earlier is none.
    line.error = undefined;
    if (push === "welcome" && !line.isWelcome) line.welcome(frame as Welcome);
    else if (push && line.isWelcome) {
      if (push === "going_away") {
        backAt = clock.now() + (frame["reconnect_in_ms"] as number);
        ticket = frame["ticket"] as string;
      }
      on.heard(frame as Push);
    } else if (reply != null && line.isWelcome) line.answer(reply, frame);
    else if (error) {
      line.error = error;
      // No close follows a hello that is not well formed.
      if (error.code === "bad_command" && !line.isWelcome) {
        line.end(0, "", "server", { final: true });
      }
    }
  }

  try {
    socket = new platform.WebSocket!(url, ["headgate.v1"]);
    // A close follows. It stays: `ws` throws the errors that nobody hears.
    socket.onerror = () => undefined;
    socket.onopen = () => send(hello());
    socket.onmessage = ({ data }) => {
      line.heard();
      let frame: Frame | null;
      try {
        frame = JSON.parse(data as string) as Frame | null;
      } catch {
        line.end(0, "The server said what is no JSON.", "network");
        return;
      }
      heard(frame ?? {});
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      line.end(code, reason, code === BROKEN ? "network" : "server", {
        final:
          (code >= FIRST_FINAL_CLOSE && code < FIRST_BEYOND_CLOSES) || OWN_FAULTS.includes(code),
        ...(backAt && { waitMs: backAt - clock.now(), ticket }),
      });
  } catch (fault) {
    // No WebSocket here, or a page that may not open one; told when the caller has us.
    createAlarm(clock, () => line.end(0, String(fault), "client")).set(0);
  }

  return {
    call: (command) => line.wait(send(command)),
    post: send,
    probe: line.probe,
    close: line.close,
  };
}
