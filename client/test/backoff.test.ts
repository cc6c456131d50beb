import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { backoff, hint } from "../src/backoff.js";

const within = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("backoff", () => {
  it("doubles a cap and waits any part of it", () => {
    const waits = (chance: number): number[] =>
      Array.from({ length: 9 }, (_, failures) => backoff(() => chance, failures, 0));
    expect(waits(1)).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    expect(waits(0.5)).toEqual([250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
    expect(waits(0)).toEqual(Array(9).fill(250));
  });

  it("takes other bounds", () => {
    const bounds = { minMs: 1000, maxMs: 3000 };
    expect([0, 1, 2].map((failures) => backoff(() => 1, failures, 0, bounds))).toEqual([
      1000, 2000, 3000,
    ]);
  });

  it("never undercuts a hint, and spreads those who were told the same", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 60_000 }),
        fc.nat(5_000),
        within,
        (said, failures, chance) => {
          const wait = backoff(() => chance, failures, said);
          expect(wait).toBeGreaterThanOrEqual(Math.max(250, said));
          expect(wait).toBeLessThanOrEqual(Math.max(250, said + 30_000));
        },
      ),
    );
  });

  it("keeps no hint that is none, or that no timer can wait for", () => {
    expect([undefined, null, "5", NaN, -1, 0].map(hint)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(hint(730)).toBe(730);
    expect(hint(2 ** 40)).toBe(86_400_000);
    expect(hint(Infinity)).toBe(86_400_000);
  });
});
