// How one message looks. Text is only ever set as text.

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const both = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const FOLLOWS_MS = 300_000; // so soon after their last, an author is not named again
const HUES = 8; // the style sheet has as many

/** Set a node's text; one that is there already is not set again, nor announced. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Return one of the colours, the same for the same person everywhere. */
function hueOf(id) {
  return [...id].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 8191, 7) % HUES;
}

/** Paint the message of a list item, which stands below the message `above`. */
export function paintRow(li, above = { at: 0, author: {} }, me, words) {
  const { author, text, at, seq, kind, edited, deleted } = li.message;
  const part = (name) => li.querySelector(`.${name}`);
  const [time, before] = [new Date(at), new Date(above.at)];
  const sameDay = before.toDateString() === time.toDateString();
  const today = time.toDateString() === new Date().toDateString();
  const sameVoice = above.author.id === author.id && above.kind === kind;
  const mine = author.id === me.id;

  li.classList.toggle("follows", sameDay && sameVoice && time - before < FOLLOWS_MS);
  li.classList.toggle("gone", Boolean(deleted));
  li.classList.toggle("system", kind === "system");
  part("day").hidden = sameDay;
  put(part("day span"), today ? words.today : calendar.format(time));
  part("face").dataset.hue = part("name").dataset.hue = hueOf(author.id ?? "");
  put(part("face"), [...author.name][0]?.toUpperCase() ?? "");
  put(part("name"), author.name);
  put(part("tag"), mine ? words.you : words[author.kind] ?? "");
  Object.assign(part("time"), { dateTime: at, title: both.format(time) });
  put(part("time"), clock.format(time));
  put(part("text"), deleted ? words.deleted : text);
  put(part("edited"), edited && !deleted ? words.edited : "");
  part("edit").hidden = part("delete").hidden = !mine || !seq || Boolean(deleted);
}
