// Saying that one writes: as often as the server takes it, and lost without a connection.

import type { Limits } from "./limits.js";
import type { Link } from "./link.js";
import { type Paced, throttle } from "./timing.js";
import type { Clock } from "./types.js";

const EVERY_MS = 3_000;

export interface Typing {
  say(isTyping: boolean): void;
  /** It is over without being said: by a message, or with the connection. */
  forget(): void;
}

export function createTyping(room: string, clock: Clock, link: Link, limits: Limits): Typing {
  let sayOn: Paced<[], void> | undefined;
  let isSaid = false;

  function forget(): void {
    sayOn?.cancel();
    isSaid = false;
  }

  return {
    say(isTyping) {
      if (isTyping) {
        // What the server takes is known by the time when somebody writes.
        sayOn ??= throttle(
          () => {
            isSaid = true;
            link.post({ cmd: "typing", room });
          },
          limits.stepMs("typing") ?? EVERY_MS,
          { clock },
        );
        sayOn();
        return;
      }
      if (isSaid) link.post({ cmd: "typing", room, typing: false });
      forget();
    },
    forget,
  };
}
