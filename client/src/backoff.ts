// How long to wait before the next try: a cap that doubles, and full jitter below it.

const FLOOR_MS = 250;
// What a server says beyond a day is a mistake.
const LONGEST_HINT_MS = 86_400_000;

/**
 * The wait in milliseconds, after so many failures before this one.
 *
 * The cap comes first and the jitter after it, so that clients never fall into step,
 * not even at the cap. A hint of the server's is waited out, and the jitter after it.
 */
export function backoff(
  random: () => number,
  failures: number,
  hintMs: number,
  { minMs = 500, maxMs = 30_000 }: { minMs?: number; maxMs?: number } = {},
): number {
  return Math.max(FLOOR_MS, hintMs + random() * Math.min(maxMs, minMs * 2 ** failures));
}

/** A wait that somebody else has said, as one can be kept: never negative, at most a day. */
export function hint(ms: unknown): number {
  return typeof ms === "number" && ms > 0 ? Math.min(ms, LONGEST_HINT_MS) : 0;
}
