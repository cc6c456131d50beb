// `navigator.locks` of a browser whose tabs are clients of one test: the part that is used.

type Granted = (lock: Lock | null) => unknown;

export class FakeLocks implements LockManager {
  readonly held = new Set<string>();
  forbidden = false;

  request(name: string, options: any, granted?: Granted): Promise<any> {
    if (this.forbidden) return Promise.reject(new Error("SecurityError"));
    if (!options.ifAvailable || !granted) throw new Error("Not modelled.");
    return this.grant(name, granted);
  }

  query(): Promise<LockManagerSnapshot> {
    throw new Error("Not modelled.");
  }

  private async grant(name: string, granted: Granted): Promise<unknown> {
    await Promise.resolve();
    if (this.held.has(name)) return granted(null);
    this.held.add(name);
    try {
      return await granted({ name, mode: "exclusive" });
    } finally {
      this.held.delete(name);
    }
  }
}
