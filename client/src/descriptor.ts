// What it takes to connect: descriptors, and where they come from.

import { createAlarm } from "./clock.js";
import { ChatError } from "./errors.js";
import type { Guest } from "./guest.js";
import { type Http, refusalOf } from "./http.js";
import { refusal, type End } from "./transport.js";
import type { ClientOptions, Clock, Descriptor } from "./types.js";

export const CONNECT_HEADER = "Headgate-Connect";

// Statuses that may be another one the next time: too early, too often.
const FOR_NOW = [408, 425, 429];

export function isDescriptor(found: unknown): found is Descriptor {
  const { url, protocol, ticket, rooms } = (found ?? {}) as Descriptor;
  return (
    /^wss?:/.test(url) &&
    protocol === "headgate.v1" &&
    typeof ticket === "string" &&
    Array.isArray(rooms)
  );
}

/** Ask for a descriptor, as `bootstrap` says; never rejects. */
export async function askDescriptor(
  { bootstrap, rooms = [] }: ClientOptions,
  { name }: Guest,
  http: Http,
  clock: Clock,
  timeoutMs: number,
): Promise<Descriptor | End> {
  const abort = new AbortController();
  let code = 0;
  let late: (error: Error) => void;
  const timeout = createAlarm(clock, () => {
    abort.abort();
    late(new Error("No answer in time."));
  });
  timeout.set(clock.now() + timeoutMs);

  async function ask(): Promise<unknown> {
    if (typeof bootstrap === "function") return bootstrap(abort.signal);
    const answer = await http("POST", bootstrap!, abort.signal, { rooms, name });
    code = answer.status;
    if (!answer.ok) throw refusal(await refusalOf(answer));
    const header = answer.headers.get(CONNECT_HEADER);
    return header ? JSON.parse(header) : answer.json();
  }

  try {
    const found = await Promise.race([
      ask(),
      new Promise((_, reject) => {
        late = reject;
      }),
    ]);
    if (isDescriptor(found)) return found;
    throw new Error("That is no descriptor.");
  } catch (error) {
    // Whatever it is that a function of others throws.
    const { message: text = String(error), retryAfterMs: waitMs } = (error ??
      {}) as Partial<ChatError>;
    return {
      reason: { code, text, by: code ? "http" : "network" },
      waitMs,
      final: error instanceof ChatError && !waitMs && code < 500 && !FOR_NOW.includes(code),
    };
  } finally {
    timeout.off();
  }
}
