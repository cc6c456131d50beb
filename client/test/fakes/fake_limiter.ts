// The server's limits as docs/reference/protocol.md says them, on the test's clock: a
// model of its own, which shares no code with the client's predictor.

import type { AnnouncedLimit, Clock } from "../../src/types.js";

export interface FakePolicy {
  readonly burst: number;
  readonly perSecond: number;
  readonly key: "connection" | "user" | "user and room";
}

export interface FakeRefusal {
  readonly policy: string;
  readonly retry_after_ms: number;
}

/** Counts by a bucket that holds `burst` and is filled again at `perSecond`. */
export class FakeLimiter {
  private readonly buckets = new Map<string, { left: number; at: number }>();

  constructor(
    private readonly clock: Clock,
    readonly policies: Record<string, FakePolicy>,
  ) {}

  /** Charge all policies or none; return the refusal with the longest wait. */
  charge(charges: readonly (readonly [policy: string, key: string])[]): FakeRefusal | null {
    let refusal: FakeRefusal | null = null;
    for (const [policy, key] of charges) {
      const wait = this.wait(policy, key);
      if (wait > (refusal?.retry_after_ms ?? 0)) refusal = { policy, retry_after_ms: wait };
    }
    if (!refusal) for (const [policy, key] of charges) this.bucket(policy, key).left -= 1;
    return refusal;
  }

  told(policy: string, key: string, room?: string): AnnouncedLimit {
    const rate = this.policies[policy]!;
    const told = { policy, key: rate.key, burst: rate.burst, per_second: rate.perSecond };
    if (rate.key === "user and room" && room === undefined) return told;
    const wait = this.wait(policy, key);
    return {
      ...told,
      remaining: Math.floor(this.bucket(policy, key).left + 1e-9),
      ...(wait > 0 ? { retry_after_ms: wait } : {}),
      ...(room === undefined ? {} : { room }),
    };
  }

  forget(key: string): void {
    for (const name of this.buckets.keys()) {
      if (name.endsWith(`|${key}`)) this.buckets.delete(name);
    }
  }

  private wait(policy: string, key: string): number {
    const rate = this.policies[policy];
    if (!rate) return 0;
    const { left } = this.bucket(policy, key);
    return left > 1 - 1e-9 ? 0 : Math.max(1, Math.ceil(((1 - left) / rate.perSecond) * 1000));
  }

  private bucket(policy: string, key: string): { left: number; at: number } {
    const name = `${policy}|${key}`;
    const now = this.clock.now();
    const rate = this.policies[policy] ?? { burst: Infinity, perSecond: 1 };
    let bucket = this.buckets.get(name);
    if (!bucket) this.buckets.set(name, (bucket = { left: rate.burst, at: now }));
    const filled = ((now - bucket.at) / 1000) * rate.perSecond;
    bucket.left = Math.min(rate.burst, bucket.left + filled);
    bucket.at = now;
    return bucket;
  }
}
