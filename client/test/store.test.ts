import { afterEach, describe, expect, it, vi } from "vitest";

import { createStore } from "../src/store.js";

describe("a store", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("tells its listeners of changes, and only of those", () => {
    const store = createStore({ n: 1 });
    const heard: number[] = [];
    const stop = store.subscribe(() => heard.push(store.get().n));
    const two = { n: 2 };
    store.set(two);
    store.set(two);
    expect(store.get()).toBe(two);
    stop();
    store.set({ n: 3 });
    expect(heard).toEqual([2]);
  });

  it("lets one function watch twice and end once", () => {
    const store = createStore(0);
    const listener = vi.fn();
    const stop = store.subscribe(listener);
    store.subscribe(listener);
    stop();
    stop();
    store.set(1);
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it("does not call whoever was ended meanwhile", () => {
    const store = createStore(0);
    const second = vi.fn();
    store.subscribe(() => {
      stop();
    });
    const stop = store.subscribe(second);
    store.set(1);
    expect(second).not.toHaveBeenCalled();
  });

  it("reports a listener that throws, and calls the others", () => {
    const reported: (() => void)[] = [];
    vi.stubGlobal("setTimeout", (callback: () => void) => reported.push(callback));
    const store = createStore(0);
    const other = vi.fn();
    store.subscribe(() => {
      throw new Error("a fault of the page's");
    });
    store.subscribe(other);
    store.set(1);
    expect(other).toHaveBeenCalledOnce();
    expect(reported[0]).toThrow("a fault of the page's");
  });
});
