// @vitest-environment node
// Rendered on a server, where there is no window: nothing is opened, and what comes out
// is what the browser begins with, whatever it has heard by then.

import { createElement, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";

import { createClient } from "../../src/client.js";
import {
  HeadgateProvider,
  useAllowance,
  useConnection,
  useDraft,
  useOutbox,
  usePresence,
  useRoom,
  useTypists,
} from "../../src/react.js";
import { FakeClock } from "../fakes/fake_clock.js";
import { FakeServer } from "../fakes/fake_server.js";

function Chat(): ReactNode {
  const { timeline } = useRoom("lobby");
  const [draft] = useDraft("lobby");
  return [
    useConnection().status,
    `${timeline.status} ${timeline.messages.length}`,
    useAllowance("lobby").secondsLeft,
    useOutbox().length,
    useTypists("lobby").length,
    usePresence("lobby").here.length,
    `"${draft}"`,
  ].join();
}
const AT_FIRST = "idle,idle 0,0,0,0,0,&quot;&quot;";

test("rendering opens nothing, and joins nothing", async () => {
  expect(typeof window).toBe("undefined");
  const clock = new FakeClock();
  const server = new FakeServer(clock);
  const { WebSocket } = server.sockets;
  const client = createClient({ bootstrap: server.bootstrap, WebSocket, clock });

  const html = renderToString(createElement(HeadgateProvider, { client }, createElement(Chat)));
  await clock.advance(60_000);

  expect(html).toBe(AT_FIRST);
  expect(server.sockets.all).toEqual([]);
  expect(client.rooms.get()).toEqual([]);
  expect(client.state.get().status).toBe("idle");
});

test("what a server renders does not hang on what the client has heard", async () => {
  const clock = new FakeClock();
  const server = new FakeServer(clock);
  server.say("lobby", "hello");
  const { WebSocket } = server.sockets;
  const options = { bootstrap: server.bootstrap, WebSocket, clock, rooms: ["lobby"] };
  const client = createClient(options);
  client.connect();
  client.room("lobby").setDraft("half a sen");
  await clock.advance(1_000);
  expect(client.state.get().status).toBe("online");
  expect(client.room("lobby").timeline.get().messages).toHaveLength(1);

  const html = renderToString(createElement(HeadgateProvider, { client }, createElement(Chat)));

  expect(html).toBe(AT_FIRST);
  client.close();
});
