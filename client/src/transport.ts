// One connection as the link sees it, and what its two kinds have in common: a welcome
// in time, calls that wait, signs of life, and an end that is told once.

import { createAlarm } from "./clock.js";
import { ChatError } from "./errors.js";
import { createHeartbeat } from "./heartbeat.js";
import type { Command, Reply, Welcome, WireError } from "./link.js";
import type { Platform } from "./platform.js";
import type { Push, Reason } from "./types.js";

export interface Transport {
  call(command: Command): Promise<Reply>;
  post(command: Command): void;
  /** Find out soon whether the other end is there. */
  probe(): void;
  /** End it now: calls are rejected with `lost`, and nothing more is told. */
  close(): void;
}

/** What a transport tells; `heard` only after `welcomed`, `gone` once and last. */
export interface TransportEvents {
  welcomed(welcome: Welcome): void;
  heard(push: Push): void;
  gone(end: End): void;
}

/** How a connection ended, or why there is none. */
export interface End {
  readonly reason: Reason;
  /** Not to come back. */
  readonly final?: boolean;
  /** Not to come back before so long; milliseconds, as the server said it. */
  readonly waitMs?: number | undefined;
  /** To come back with. */
  readonly ticket?: string | undefined;
}

/** An answer of the server's, which may be a refusal. */
export interface Answer {
  readonly error?: WireError;
  readonly [field: string]: unknown;
}

export interface Line {
  /** What no call is to blame for: the reason of the end that follows. */
  error: WireError | undefined;
  isWelcome: boolean;
  /** Something came. */
  readonly heard: () => void;
  readonly probe: () => void;
  /** The welcome came, the first or another one. */
  welcome(welcome: Welcome): void;
  /** Wait for the answer to `key`. */
  wait(key: unknown): Promise<Reply>;
  answer(key: unknown, answer: Answer): void;
  /** A welcome is waited for, from now on. */
  expect(): void;
  end(code: number, text: string, by: Reason["by"], more?: Partial<End>): void;
  close(): void;
}

/**
 * @param ask - has the server say something
 * @param shut - lets go of whatever is open
 */
export function createLine(
  { clock, lifecycle }: Platform,
  timeoutMs: number,
  on: TransportEvents,
  ask: () => void,
  shut: () => void,
): Line {
  const waiting = new Map<unknown, [(reply: Reply) => void, (error: ChatError) => void]>();
  let isOver = false;
  const late = createAlarm(clock, () => line.end(0, "No welcome in time.", "network"));
  const heartbeat = createHeartbeat(clock, lifecycle, ask, () =>
    line.end(0, "The server is silent.", "heartbeat"),
  );
  const line: Line = {
    error: undefined,
    isWelcome: false,
    heard: heartbeat.heard,
    probe: heartbeat.probe,
    expect() {
      late.set(clock.now() + timeoutMs);
    },
    welcome(welcome) {
      late.off();
      heartbeat.start(welcome.heartbeat_ms);
      if (line.isWelcome) return;
      line.isWelcome = true;
      on.welcomed(welcome);
    },
    wait: (key) => new Promise((...settle) => waiting.set(key, settle)),
    answer(key, answer) {
      const [resolve, reject] = waiting.get(key) ?? [];
      waiting.delete(key);
      if (answer.error) reject?.(refusal(answer.error));
      else resolve?.(answer as Reply);
    },
    end(code, text, by, more) {
      if (isOver) return;
      const { error } = line;
      line.close();
      on.gone({
        reason: { code, text: error?.text ?? text, by },
        waitMs: error?.retry_after_ms,
        ...more,
      });
    },
    close() {
      if (isOver) return;
      isOver = true;
      late.off();
      heartbeat.stop();
      shut();
      for (const [, reject] of waiting.values()) {
        reject(new ChatError("lost", "The connection was lost before the answer."));
      }
    },
  };
  line.expect();
  return line;
}

export function refusal(error: WireError): ChatError {
  const { code, text, retry_after_ms, policy, field, at } = error;
  return new ChatError(code as ChatError["code"], text, retry_after_ms, policy, field, at);
}
