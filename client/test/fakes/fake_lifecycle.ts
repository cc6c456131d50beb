// A page whose network and visibility the test changes.

import type { Lifecycle } from "../../src/types.js";

type LifecycleEvent = Parameters<Parameters<Lifecycle["subscribe"]>[0]>[0];

export class FakeLifecycle implements Lifecycle {
  private readonly listeners = new Set<(event: LifecycleEvent) => void>();

  constructor(
    private isOnline = true,
    private isVisible = true,
  ) {}

  /** How many listen: 0 once all is closed, or something leaks. */
  get watched(): number {
    return this.listeners.size;
  }

  online(): boolean {
    return this.isOnline;
  }

  visible(): boolean {
    return this.isVisible;
  }

  subscribe(listener: (event: LifecycleEvent) => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** What the browser would tell; `online` and `visible` follow it. */
  emit(event: LifecycleEvent): void {
    if (event === "online" || event === "offline") this.isOnline = event === "online";
    if (event === "visible" || event === "hidden") this.isVisible = event === "visible";
    for (const listener of [...this.listeners]) listener(event);
  }
}
