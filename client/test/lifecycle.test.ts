import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { pageLifecycle } from "../src/lifecycle.js";

describe("the page's lifecycle", () => {
  let page: EventTarget;
  let shown: { hidden: boolean };
  let told: string[];

  beforeEach(() => {
    page = new EventTarget();
    shown = { hidden: false };
    told = [];
    vi.stubGlobal("document", shown);
    vi.stubGlobal("navigator", { onLine: true });
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
    vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  });

  afterEach(() => {
    vi.unstubAllGlobals();
  });

  function emit(type: string, fields: object = {}): void {
    page.dispatchEvent(Object.assign(new Event(type), fields));
  }

  it("is none where there is no page", () => {
    vi.stubGlobal("document", undefined);
    expect(pageLifecycle()).toBeNull();
  });

  it("says what is", () => {
    const lifecycle = pageLifecycle()!;
    expect([lifecycle.online(), lifecycle.visible()]).toEqual([true, true]);
    shown.hidden = true;
    vi.stubGlobal("navigator", { onLine: false });
    expect([lifecycle.online(), lifecycle.visible()]).toEqual([false, false]);
  });

  it("tells what happens, until it is told to stop", () => {
    const stop = pageLifecycle()!.subscribe((event) => told.push(event));
    emit("offline");
    emit("online");
    shown.hidden = true;
    emit("visibilitychange");
    emit("freeze");
    emit("resume");
    shown.hidden = false;
    emit("visibilitychange");
    emit("pagehide", { persisted: true });
    emit("pageshow", { persisted: true });
    const all = [
      "offline",
      "online",
      "hidden",
      "suspend",
      "resume",
      "visible",
      "suspend",
      "resume",
    ];
    expect(told).toEqual(all);
    stop();
    emit("offline");
    emit("visibilitychange");
    expect(told).toEqual(all);
  });

  it("makes nothing of the first pageshow, which belongs to loading", () => {
    pageLifecycle()!.subscribe((event) => told.push(event));
    emit("pageshow", { persisted: false });
    expect(told).toEqual([]);
  });
});
