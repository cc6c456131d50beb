// Server-sent events out of text in any pieces, as HTML describes them.

// The longest push there is has a tenth of that: a server that goes on is none of ours.
const MAX_CHARACTERS = 4 * 1024 * 1024;

/**
 * Return what takes the text, piece by piece, and returns the data of the events that
 * are complete with it. It throws where one grows without end.
 *
 * @param retry - called with the milliseconds after which to come back
 */
export function createEventReader(retry: (ms: number) => void): (text: string) => string[] {
  let rest = "";
  let data: string[] = [];
  let size = 0;
  let afterCR = false;

  return (text) => {
    const events: string[] = [];
    if (text && afterCR) {
      // The second half of a CRLF that was torn apart.
      if (text[0] === "\n") text = text.slice(1);
      afterCR = false;
    }
    if (text.endsWith("\r")) afterCR = true;
    const lines = (rest + text).split(/\r\n|\r|\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (!line) {
        if (data.length) events.push(data.join("\n"));
        data = [];
        size = 0;
      } else if (field === "data") {
        data.push(value!);
        size += value!.length;
      } else if (field === "retry" && /^\d+$/.test(value!)) {
        retry(+value!);
      }
    }
    if (size + rest.length > MAX_CHARACTERS) throw new Error("An event without end.");
    return events;
  };
}
