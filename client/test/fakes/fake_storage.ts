// A localStorage that tabs share, and that can be full.

import type { KeyValueStorage } from "../../src/types.js";

export class FakeStorage implements KeyValueStorage {
  readonly items = new Map<string, string>();
  /** Every call throws, as in a page that is not allowed to keep anything. */
  forbidden = false;
  /** Called before each write. */
  writing: (key: string, value: string) => void = () => {};

  getItem(key: string): string | null {
    this.check();
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.check();
    this.writing(key, value);
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    this.check();
    this.items.delete(key);
  }

  private check(): void {
    if (this.forbidden) throw new Error("SecurityError");
  }
}
