// A message that grows while it is written, as a language model does it: what is written
// is gathered, said at most ten times a second, and said again after a reconnection. While
// nothing is, nothing is said now and then: so the server knows that the author is there.

import { before, codePoints } from "./code_points.js";
// Not bundled: an error is one of the client's own.
import { ChatError } from "./index.js";
import type { Client, Draft, GrowthState, JsonObject, Push } from "./types.js";

const EVERY_MS = 100;
/** Of silence; after 30 s on a connection that it has heard nothing by the server ends it. */
const SILENT_MS = 10_000;
/** UTF-16 units in one part: whatever they are, the command is not too large. */
const LONGEST = 2_000;

export interface Growing {
  readonly seq: number;
  /**
   * Aborts when the message was ended by somebody else, or can be continued no longer,
   * with the `ChatError` as its reason. What is written after that is dropped.
   */
  readonly signal: AbortSignal;
  /** Add to the text. */
  write(text: string): void;
  /**
   * End it, whole. Settles when the server has all of it; rejects with the reason of
   * `signal` where it has not.
   */
  done(): Promise<void>;
  /** End it where it is, as an answer that broke off. */
  cut(): Promise<void>;
}

/**
 * Begin a message that grows. It is queued and paced like any other, and its place in the
 * room is that of its beginning.
 *
 * Rejects as `SendHandle.sent` does.
 */
export async function grow<Data = JsonObject>(
  client: Client<Data>,
  name: string,
  draft: Omit<Draft<Data>, "text" | "open"> = {},
): Promise<Growing> {
  const { clock } = client;
  const room = client.room(name);
  const { seq } = await room.send({ ...draft, text: "", open: true }).sent;
  const ended = new AbortController();
  let text = "";
  /** What the server has of it: in units, and in code points. */
  let units = 0;
  let points = 0;
  let state: GrowthState | undefined;
  /** The end was said, and may have been heard. */
  let isSaid = false;
  let isOver = false;
  let isWorking = false;
  /** That we are there is to be said. */
  let isSilent = false;
  let silence: unknown;
  let settle!: [() => void, (reason: unknown) => void];
  const over = new Promise<void>((...both) => (settle = both));
  over.catch(() => undefined);

  // Also at once on a new connection: the timer of a hidden page may be a minute late.
  const unsubscribe = client.state.subscribe(there);
  const unheard = client.on("push", (push: Push) => {
    const isEnd = push.push === "deleted" || (push.push === "edited" && push["state"]);
    if (!isEnd || push.room !== name || push["target"] !== seq || isSaid) return;
    end(new ChatError("not_growing", "Somebody has ended this message."));
  });

  function end(reason?: unknown): void {
    if (isOver) return;
    isOver = true;
    unsubscribe();
    unheard();
    clock.clearTimeout(silence);
    if (!reason) return settle[0]();
    settle[1](reason);
    ended.abort(reason);
  }

  /** What goes next: a character's first half waits for the other. */
  function next(): string {
    const part = text.slice(units, units + LONGEST);
    const isAll = state && units + part.length === text.length;
    return isAll ? part : part.replace(/[\ud800-\udbff]$/, "");
  }

  async function say(part: string): Promise<void> {
    const last = units + part.length === text.length ? state : undefined;
    const isAgain = isSaid;
    isSaid ||= !!last;
    try {
      await room.append(seq, points, part, last);
      isSilent = false;
      units += part.length;
      points += codePoints(part);
      if (last) end();
    } catch (thrown) {
      const { code, at } = thrown as ChatError;
      if (code === "lost") await client.ready();
      else if (code === "bad_offset" && at !== undefined) {
        points = at;
        units = before(text, codePoints(text) - at);
      } else if (code === "not_growing" && isAgain) end();
      else throw thrown;
    }
  }

  function there(): void {
    isSilent = true;
    void work();
  }

  /** Say what there is, until there is no more. */
  async function work(): Promise<void> {
    if (isWorking) return;
    isWorking = true;
    clock.clearTimeout(silence);
    try {
      await Promise.resolve(); // what is written in one turn goes together
      for (let part; !isOver && ((part = next()) || state || isSilent);) {
        const again = clock.now() + EVERY_MS;
        await say(part);
        const waitMs = isOver ? 0 : again - clock.now();
        if (waitMs > 0) await new Promise<void>((go) => void clock.setTimeout(go, waitMs));
      }
    } catch (thrown) {
      end(thrown);
      // Nobody shall wait for more of it.
      void room.append(seq, points, "", "cut").catch(() => undefined);
    }
    isWorking = false;
    if (!isOver) silence = clock.setTimeout(there, SILENT_MS);
  }

  function finish(how: GrowthState): Promise<void> {
    state ??= how;
    void work();
    return over;
  }

  void work();
  return {
    seq,
    signal: ended.signal,
    write(more) {
      if (state || isOver) return;
      text += more;
      void work();
    },
    done: () => finish("done"),
    cut: () => finish("cut"),
  };
}
