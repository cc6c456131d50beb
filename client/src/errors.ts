// What goes wrong, as a value: refusals of the server and what the client itself says.

import type { ErrorCode } from "./codes.js";
import type { ClientErrorCode } from "./types.js";

const TRANSIENT = ["overloaded", "unavailable", "internal"];

/** Whether a code tells of the server's state, and not of what was asked. */
export function isTransient(code: string): boolean {
  return TRANSIENT.includes(code);
}

export class ChatError extends Error {
  override readonly name = "ChatError";

  /**
   * @param code - of the wire, or of this client
   * @param text - for people
   * @param retryAfterMs - after so long the same may succeed
   * @param policy - the limit that was met
   * @param field - the field to mend
   * @param at - where the text of a growing message ends, in code points
   */
  constructor(
    readonly code: ErrorCode | ClientErrorCode,
    text: string,
    readonly retryAfterMs?: number,
    readonly policy?: string,
    readonly field?: string,
    readonly at?: number,
  ) {
    super(text);
  }
}
