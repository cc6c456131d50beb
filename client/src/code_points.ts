// Lengths and places of a text in code points, as the wire counts them: here a character
// outside of the first 65,536 has two units.

const begins = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) !== 0xdc00;

export function codePoints(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) if (begins(text, at)) count++;
  return count;
}

/** The place in units before which there are all but the last so many code points. */
export function before(text: string, lastPoints: number): number {
  let at = text.length;
  while (lastPoints > 0 && at) if (begins(text, --at)) lastPoints--;
  return at;
}
