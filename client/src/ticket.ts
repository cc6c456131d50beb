// The ticket that one has: good once, and not for long.

import type { Clock } from "./types.js";

/** A welcome's and a farewell's last longer than a descriptor's. */
export const WELCOME_TICKET_MS = 600_000;
// It travels before it is looked at.
const MARGIN_MS = 2_000;

export interface Pocket {
  put(ticket: string, livesMs: number): void;
  isEmpty(): boolean;
  /** The ticket if it is still good; the pocket is empty then. */
  take(): string | undefined;
}

export function createPocket(clock: Clock): Pocket {
  let ticket: string | undefined;
  let expiresAt = 0;
  const isEmpty = (): boolean => !ticket || clock.now() > expiresAt;
  return {
    put(next, livesMs) {
      ticket = next;
      expiresAt = clock.now() + livesMs - MARGIN_MS;
    },
    isEmpty,
    take() {
      const taken = isEmpty() ? undefined : ticket;
      ticket = undefined;
      return taken;
    },
  };
}
