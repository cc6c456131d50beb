// All policies, by name and room: what the server announced, what its refusals and HTTP
// answers say, and what is left of each.

import { Bucket } from "./bucket.js";
import type { ChatError } from "./errors.js";
import type { Gate } from "./paced_queue.js";
import type { Allowance, AnnouncedLimit, Clock, Limit } from "./types.js";
import { createView, type View } from "./view.js";

/** What each command is counted by. Others are counted as `command`s only. */
const CHARGES: Record<string, readonly string[]> = {
  send: ["send", "send.all", "slow_mode", "command"],
  edit: ["send", "send.all", "command"],
  history: ["history", "command"],
  append: ["append"],
};

type Rule = Pick<AnnouncedLimit, "burst" | "per_second" | "key"> & { source?: Limit["source"] };

/** Before anything is announced. */
const FIRST: Rule = { burst: 3, per_second: 1, key: "room", source: "default" };

// An item of the field `RateLimit`: the policy, what is left, and the seconds until there
// is one more.
const LEFT = /"([^"]+)"[^,]*?;\s*r=(\d+)(?:[^,]*?;\s*t=(\d+))?/g;

export interface Limits {
  readonly view: View<readonly Limit[]>;
  /** @param isAll - there are no others, and what is not told of a room was never used */
  announce(limits: readonly AnnouncedLimit[], isAll?: boolean): void;
  slowMode(room: string, ms: number, isExempt: boolean): void;
  refused(error: ChatError, room: string): void;
  /** `RateLimit-Policy`, `RateLimit` and `Retry-After` of an answer over HTTP. */
  taught(answer: Response): void;
  gate(cmd: string, room: string): Gate;
  /** @param waiting - how many are to go before the next */
  allowance(room: string, waiting: () => number): View<Allowance>;
  /** The time in which a policy gives one back; undefined where it was not announced. */
  stepMs(policy: string): number | undefined;
}

/** @param changed - called when something may go that could not before, or the reverse */
export function createLimits(clock: Clock, changed: () => void): Limits {
  const rules = new Map<string, Rule>([["send", FIRST]]);
  /** By the policy, or by the policy and the room. */
  const buckets = new Map<string, Bucket>();
  const slowModes = new Map<string, number>();
  const allowances: View<Allowance>[] = [];

  const view = createView<readonly Limit[]>(
    clock,
    (now) =>
      [...buckets].map(([name, bucket]) => {
        const [policy = name, room] = name.split(" ");
        const wait = bucket.waitMs();
        return {
          policy,
          ...(room && { room }),
          burst: bucket.burst,
          perSecond: bucket.perSecond,
          remaining: bucket.remaining(),
          freeAt: wait ? now + wait : null,
          source: bucket.source,
        };
      }),
    (_, now) => now + Math.min(...[...buckets.values()].map((bucket) => bucket.stepInMs())),
  );

  function show(): void {
    view.touch();
    for (const allowance of allowances) allowance.touch();
  }

  function touch(): void {
    show();
    changed();
  }

  function find(policy: string, room: string | undefined, rule?: Rule): Bucket | undefined {
    const known = rules.get(policy);
    // Only what counts by room has a bucket for each.
    const name = room && (!known || known.key.includes("room")) ? `${policy} ${room}` : policy;
    let bucket = buckets.get(name);
    rule ??= policy === "slow_mode" ? undefined : known;
    if (!bucket && rule) {
      bucket = new Bucket(clock, rule.burst, rule.per_second);
      bucket.source = rule.source ?? "announced";
      buckets.set(name, bucket);
    }
    return bucket;
  }

  function charged(cmd: string, room: string): [policy: string, bucket: Bucket][] {
    return (CHARGES[cmd] ?? ["command"]).flatMap((policy) => {
      const bucket = find(policy, room);
      return bucket ? [[policy, bucket] as [string, Bucket]] : [];
    });
  }

  function exhaust(
    source: Limit["source"],
    policy: string,
    room: string | undefined,
    retryMs: number,
  ): void {
    const rule = { burst: 1, per_second: 1000 / retryMs, key: "" };
    const bucket = find(policy, room) ?? find(policy, room, rule)!;
    bucket.learn(source, bucket.burst, bucket.perSecond, 0, retryMs);
    touch();
  }

  return {
    view,
    announce(limits, isAll) {
      if (isAll) {
        // Where the server has no such limit, ours from before is none either.
        buckets.clear();
        rules.clear();
      }
      for (const limit of limits) {
        const { policy, burst, per_second, remaining, retry_after_ms, room } = limit;
        if (!(burst > 0 && per_second > 0)) continue;
        if (!room) rules.set(policy, limit);
        if (!room && limit.key.includes("room")) {
          // Those that were met in a room before it was announced have no more than this.
          for (const [name, bucket] of buckets) {
            if (name.startsWith(policy + " ")) bucket.learn("announced", burst, per_second);
          }
        } else {
          find(policy, room, limit)!.learn(
            "announced",
            burst,
            per_second,
            remaining,
            retry_after_ms,
          );
        }
      }
      touch();
    },
    slowMode(room, ms, isExempt) {
      const name = `slow_mode ${room}`;
      if (ms > 0 && !isExempt) {
        const rule = { burst: 1, per_second: 1000 / ms, key: "room" };
        find("slow_mode", room, rule)!.learn("announced", 1, rule.per_second);
        slowModes.set(room, ms);
      } else {
        buckets.delete(name);
        slowModes.delete(room);
      }
      touch();
    },
    refused({ policy, retryAfterMs }, room) {
      if (policy && retryAfterMs) exhaust("refusal", policy, room, retryAfterMs);
    },
    taught({ headers, status, url }) {
      const room = /\/rooms\/([^/?]+)/.exec(url)?.[1];
      let isSaid = false;
      for (const [, policy, left, seconds] of (headers.get("RateLimit") ?? "").matchAll(LEFT)) {
        // Each connection has a count of its commands, and that of requests is not ours.
        if (policy === "command") continue;
        isSaid = true;
        const bucket = find(policy!, room);
        const { burst = 0, perSecond = 0 } = bucket ?? {};
        bucket?.learn("http", burst, perSecond, +left!, +left! ? 0 : 1000 * +(seconds ?? 0));
      }
      const retryMs = 1000 * Number(headers.get("Retry-After"));
      // Where nobody says what for, nothing goes.
      if (!isSaid && retryMs > 0 && (status === 429 || status === 503)) {
        exhaust("http", "command", undefined, retryMs);
      }
      touch();
    },
    gate: (cmd, room) => ({
      waitMs: () => Math.max(0, ...charged(cmd, room).map(([, bucket]) => bucket.waitMs())),
      take() {
        const counted = charged(cmd, room).map(([, bucket]) => bucket.take());
        show();
        return (isCounted) => {
          for (const each of counted) each(isCounted);
          touch();
        };
      },
    }),
    allowance(room, waiting) {
      const allowance = createView<Allowance>(
        clock,
        (now) => {
          const ahead = waiting();
          let [remaining, burst, longest] = [Infinity, 1, 0];
          let slowest: string | null = null;
          for (const [policy, bucket] of charged("send", room)) {
            const wait = bucket.waitMs(ahead);
            if (wait > longest) [longest, slowest] = [wait, policy];
            if (bucket.remaining() < remaining) {
              [remaining, burst] = [bucket.remaining(), bucket.burst];
            }
          }
          return {
            remaining: Math.max(0, remaining - ahead),
            burst,
            freeAt: longest ? now + longest : null,
            secondsLeft: Math.ceil(longest / 1000),
            policy: slowest,
            slowModeMs: slowModes.get(room) ?? 0,
          };
        },
        ({ freeAt, secondsLeft }, now) => {
          if (freeAt !== null) return freeAt - (secondsLeft - 1) * 1000;
          return now + Math.min(...charged("send", room).map(([, bucket]) => bucket.stepInMs()));
        },
      );
      allowances.push(allowance);
      return allowance;
    },
    stepMs(policy) {
      const rule = rules.get(policy);
      return rule && 1000 / rule.per_second;
    },
  };
}
