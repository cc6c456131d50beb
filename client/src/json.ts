// What goes out, as JSON that the server takes: it refuses halves of characters and U+0000.

// With `u`, a whole character outside of the first 65,536 is no pair of halves.
const REFUSED = /[\0\ud800-\udfff]/gu;

export function encode(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "string" ? each.replace(REFUSED, "\ufffd") : each,
  );
}
