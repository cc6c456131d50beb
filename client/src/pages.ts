// Pages of a room's log: the newest, the one before, and those of what was left out.

import type { Command, Reply } from "./link.js";
import type { Log, LogEvent } from "./timeline.js";
import type { Gap, Message, Push } from "./types.js";

const PAGE = 50;
const EVENTS_PAGE = 200;

export interface Page extends Reply {
  readonly messages: readonly (Message<any> & Push)[];
  readonly events: readonly LogEvent[];
  readonly head: number;
  readonly epoch: string;
  readonly more: boolean;
}

export interface Pages {
  newest(): Promise<Page>;
  /** The first events after a seq, up to another. */
  events(after: number, to: number): Promise<Page>;
  /** Load the page before the oldest message. */
  older(before: number): Promise<void>;
  /** Fetch the events that were left out. */
  fill(gap: Gap): Promise<void>;
}

/** @param ask - asks the server, no faster than it allows */
export function createPages<Data>(
  room: string,
  log: Log<Data>,
  ask: (command: Command) => Promise<Reply>,
  changed: () => void,
): Pages {
  const history = (fields: object): Promise<Page> =>
    ask({ cmd: "history", room, ...fields }) as Promise<Page>;
  const events = (after: number, to: number): Promise<Page> =>
    history({ of: "events", after, to, limit: EVENTS_PAGE });
  return {
    newest: () => history({ limit: PAGE }),
    events,
    async older(before) {
      const page = await history({ before, limit: PAGE });
      // It fits only onto what was there when it was asked for.
      if (page.epoch !== log.epoch || log.oldest !== before) return;
      log.merge(page.messages.map(plain));
      log.hasOlder = page.more;
    },
    async fill({ from, to }) {
      for (let after = from - 1; after < to;) {
        const page = await events(after, to);
        // Where it was forgotten meanwhile, so was what lay before it.
        const isThere = log.gaps.some((each) => each.from <= to && after < each.to);
        if (page.epoch !== log.epoch || !isThere) return;
        for (const event of page.events) log.apply(event);
        after = (page.more && page.events.at(-1)?.seq) || to;
        log.fill({ from, to }, after);
        changed();
      }
    },
  };
}

/** A message of a page, without the name of the push. */
export function plain<Data>(entry: Message<Data> & Push): Message<Data> {
  const { push: _, ...message } = entry;
  return message;
}
