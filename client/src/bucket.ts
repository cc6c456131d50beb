// What one policy lets through, as far as the client can tell: a guess that the server
// corrects, never the other way round.

import type { Gate } from "./paced_queue.js";
import type { Clock, Limit } from "./types.js";

// As near to a whole one as sums of fractions come.
const CLOSE = 1e-6;

export class Bucket implements Gate {
  source: Limit["source"] = "default";
  /**
   * The moment at which all of `burst` is there again. Each that goes puts it off by
   * the time in which one is given back.
   */
  private _fullAt = -Infinity;
  /** Those that are on their way. They count from the server's decision, so from its answer. */
  private _taken = 0;

  constructor(
    private readonly _clock: Clock,
    public burst: number,
    public perSecond: number,
  ) {}

  /** The time in which one is given back, in milliseconds. */
  get stepMs(): number {
    return 1000 / this.perSecond;
  }

  private get _missing(): number {
    return Math.max(0, this._fullAt - this._clock.now()) / this.stepMs + this._taken;
  }

  /** How many can go at once. */
  remaining(): number {
    return Math.max(0, Math.floor(this.burst - this._missing + CLOSE));
  }

  /** Milliseconds until one can go behind `ahead` others. */
  waitMs(ahead = 0): number {
    const short = this._missing + 1 + ahead - this.burst;
    return short > CLOSE ? short * this.stepMs : 0;
  }

  /** Milliseconds until `remaining` is another. */
  stepInMs(): number {
    const missing = this._missing - this._taken;
    return missing > 0 ? (missing % 1 || 1) * this.stepMs : Infinity;
  }

  /** One goes; the answer is to be told whether the server has counted it. */
  take(): (isCounted: boolean) => void {
    this._taken++;
    return (isCounted) => {
      this._taken--;
      if (isCounted) this._fullAt = Math.max(this._fullAt, this._clock.now()) + this.stepMs;
    };
  }

  /** The server says how fast, and what is left or when there is one again. */
  learn(
    source: Limit["source"],
    burst: number,
    perSecond: number,
    remaining?: number,
    retryAfterMs?: number,
  ): void {
    const now = this._clock.now();
    this.source = source;
    this.burst = burst;
    this.perSecond = perSecond;
    if (retryAfterMs) this._fullAt = now + retryAfterMs + (burst - 1) * this.stepMs;
    else if (remaining !== undefined) this._fullAt = now + (burst - remaining) * this.stepMs;
    // No wait outgrows the rate.
    else this._fullAt = Math.min(this._fullAt, now + burst * this.stepMs);
  }
}
