// Times for people, in the words of `Intl`.

export interface Times {
  /** `10:27 AM` */
  clock(at: Date): string;
  /** `Today`, `Yesterday`, `Sunday, November 29` */
  day(at: Date): string;
  /** Everything, for a tooltip. */
  full(at: Date): string;
  /** `4 s`, `10 min`, `1 h`: whole units, rounded up. */
  span(ms: number): string;
}

const DAY_MS = 86_400_000;
const UNITS: readonly [string, number][] = [
  ["day", DAY_MS],
  ["hour", 3_600_000],
  ["minute", 60_000],
];

export function times(language: string): Times {
  // A reader in Britain has `en-GB`, where the page says no more than `en`.
  const own = navigator.languages.find((tag) => tag.startsWith(`${language}-`)) ?? language;
  const format = (options: Intl.DateTimeFormatOptions): ((at: Date) => string) =>
    new Intl.DateTimeFormat(own, options).format;
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const day = format({ weekday: "long", month: "long", day: "numeric" });
  const dayAndYear = format({ dateStyle: "long" });
  const units = new Map<string, Intl.NumberFormat>();
  return {
    clock: format({ timeStyle: "short" }),
    full: format({ dateStyle: "full", timeStyle: "medium" }),
    day(at) {
      const today = new Date();
      const days = Math.round((midnight(at) - midnight(today)) / DAY_MS);
      if (days > 0 || days < -1) {
        return (at.getFullYear() === today.getFullYear() ? day : dayAndYear)(at);
      }
      const word = relative.format(days, "day");
      return word.charAt(0).toLocaleUpperCase(language) + word.slice(1);
    },
    span(ms) {
      // 90 s are `90 s`: what counts down should not jump from `2 min` to `60 s`.
      const [unit, size] = UNITS.find(([, least]) => ms >= 2 * least || ms === least) ?? [
        "second",
        1_000,
      ];
      let number = units.get(unit);
      if (!number) {
        // In German the short day is `Tg.`
        const unitDisplay = unit === "day" ? "long" : "short";
        number = new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay });
        units.set(unit, number);
      }
      return number.format(Math.max(1, Math.ceil(ms / size)));
    },
  };
}

/** Local midnight of that day, in UTC's terms: days between two of them are whole. */
const midnight = (at: Date): number => Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
