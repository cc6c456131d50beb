// What the interface says, in English. A page brings other languages in its JSON, under
// the same keys. `x_one` and `x_other` are one text in two numbers; a language with more
// numbers brings more (`x_few`, as `Intl.PluralRules` calls them).

export const ENGLISH = {
  messages: "Messages in {room}",
  loading: "Loading…",
  empty: "No messages yet. Say hello!",
  older: "Show older messages",
  new: "New",
  new_messages_one: "{n} new message",
  new_messages_other: "{n} new messages",
  newest: "Jump to the newest",
  left_out_one: "{n} message left out",
  left_out_other: "{n} messages left out",
  show: "Show",
  says: "{name}: {text}",
  failed_to_send: "Not sent: {text}",

  you: "you",
  guest: "guest",
  bot: "bot",
  edited: "edited",
  stop: "Stop",
  cut: "The answer was cut off.",
  cancelled: "Stopped.",
  deleted: "This message was deleted.",
  earlier: "an earlier message",
  queued: "queued",
  waits: "waits {time}",
  sending: "sending…",
  not_sent: "not sent",

  actions: "What to do with the message",
  reply: "Reply",
  edit: "Edit",
  delete: "Delete",
  retry: "Retry",
  discard: "Discard",
  cancel: "Cancel",
  moderate: "Moderate",
  mute: "Mute for {time}",
  unmute: "Unmute",
  ban: "Ban",
  unban: "Unban",
  delete_sure: "Delete this message for everybody?",
  moderate_what: "What to do about {name}?",
  mute_sure: "Mute {name} in this room for {time}?",
  ban_sure: "Ban {name} from this room?",
  done: "Done.",

  message_to: "Message to {room}",
  send: "Send",
  save: "Save",
  keys: "Enter sends, Shift + Enter begins a new line",
  replying: "Reply to {name}",
  editing: "Editing your message",
  left_one: "{n} left",
  left_other: "{n} left",
  too_long_one: "Too long by {n} byte.",
  too_long_other: "Too long by {n} bytes.",
  wait: "You can send again in {time}.",
  wait_over: "You can send again.",
  slow_mode: "Slow mode",
  slow_mode_on: "Slow mode: one message in {time}",
  off: "Off",
  read_only: "You can read here, but not write.",

  typing_one: "{a} is writing…",
  typing_two: "{a} and {b} are writing…",
  typing_many: "Several people are writing…",
  here_one: "{n} here",
  here_other: "{n} here",

  connecting: "Connecting…",
  reconnecting: "Reconnecting in {time}",
  retry_now: "Retry now",
  offline: "You are offline.",
  offline_unsent_one: "You are offline. {n} message will be sent when you are back.",
  offline_unsent_other: "You are offline. {n} messages will be sent when you are back.",

  your_name: "Your name",
  name_hint: "How others see you",
  join: "Join",
  you_are: "You are {name}",
  change: "Change",
  sign_in: "Sign in",

  unread_one: "{n} unread",
  unread_other: "{n} unread",
};

export type Key = keyof typeof ENGLISH;
/** `x` for the texts `x_one` and `x_other`. */
export type Counted = { [K in Key]: K extends `${infer Stem}_other` ? Stem : never }[Key];

type Values = Readonly<Record<string, string | number>>;

export interface Translator {
  /** The text of a key, its placeholders filled. */
  t(key: Key, values?: Values): string;
  /** The text of a key for a number. */
  count(key: Counted, n: number, values?: Values): string;
  /** What went wrong, in the page's language where it has words for the code. */
  error(error: unknown): string;
  readonly language: string;
}

/**
 * @param language - a BCP 47 tag
 * @param strings - translations, and `error_<code>` for what the server refuses
 */
export function translator(
  language: string,
  strings: Readonly<Record<string, string>> = {},
): Translator {
  let rules: Intl.PluralRules | undefined;
  try {
    rules = new Intl.PluralRules(language);
  } catch {
    language = "en"; // not a tag: the texts are still good
  }
  const english: Readonly<Record<string, string>> = ENGLISH;
  const find = (key: string): string | undefined => strings[key] ?? english[key];
  // In one pass, so that a name in braces stays a name.
  const fill = (text: string, values: Values): string =>
    text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  return {
    language,
    t: (key, values = {}) => fill(find(key) ?? key, values),
    count: (key, n, values) =>
      fill(find(`${key}_${rules?.select(n) ?? ""}`) ?? find(key + "_other") ?? key, {
        n,
        ...values,
      }),
    error(error) {
      const { code, message } = error as { code?: string; message?: string };
      return strings[`error_${code ?? ""}`] ?? message ?? String(error);
    },
  };
}
