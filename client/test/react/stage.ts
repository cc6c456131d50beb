// A client of the real core on a fake server, and a place to render into.

import { act, createElement, StrictMode, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { expect, onTestFinished, vi } from "vitest";

import { createClient } from "../../src/client.js";
import { HeadgateProvider } from "../../src/react.js";
import type { Client, ClientOptions } from "../../src/types.js";
import { FakeClock } from "../fakes/fake_clock.js";
import { FakeLifecycle } from "../fakes/fake_lifecycle.js";
import { FakeServer } from "../fakes/fake_server.js";

declare global {
  // Has React say what was changed outside of `act`.
  var IS_REACT_ACT_ENVIRONMENT: boolean;
}
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

/** How long it takes to connect: bootstrap, open, hello, welcome, and a first page. */
const SOON_MS = 100;

export class Stage {
  readonly clock = new FakeClock();
  readonly server = new FakeServer(this.clock);
  readonly client: Client;
  readonly box: HTMLElement = document.createElement("div");
  readonly root: Root = createRoot(this.box);

  constructor(options: ClientOptions = {}) {
    this.client = this.createClient(options);
    // What React complains of it says there.
    const complaint = vi.spyOn(console, "error");
    onTestFinished(async () => {
      await this.close();
      expect(complaint.mock.calls).toEqual([]);
    });
  }

  createClient(options: ClientOptions = {}): Client {
    return createClient({
      bootstrap: this.server.bootstrap,
      WebSocket: this.server.sockets.WebSocket,
      lifecycle: new FakeLifecycle(),
      storage: null,
      clock: this.clock,
      random: () => 0.5,
      ...options,
    });
  }

  /** Render below a provider, in StrictMode, and let what is due soon happen. */
  async render(node: ReactNode, client: Client = this.client): Promise<void> {
    await act(async () => {
      this.root.render(
        createElement(StrictMode, null, createElement(HeadgateProvider, { client }, node)),
      );
    });
    await this.pass(SOON_MS);
  }

  async pass(ms: number): Promise<void> {
    await act(() => this.clock.advance(ms));
  }

  get shown(): string {
    return this.box.textContent;
  }

  /** The commands of a kind that have reached the server, as `room` or nothing. */
  told(cmd: string): unknown[] {
    return this.server.commands.filter((each) => each.cmd === cmd).map((each) => each["room"]);
  }

  private async close(): Promise<void> {
    await act(async () => this.root.unmount());
    this.client.close();
  }
}
