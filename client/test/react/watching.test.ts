// Who joins and leaves what, and when: nothing that React does twice is done twice.

import { act, createElement, Fragment } from "react";
import { expect, test } from "vitest";

import { useRoom } from "../../src/react.js";
import { Stage } from "./stage.js";

function Texts({ room }: { room: string }) {
  const { timeline } = useRoom(room);
  return timeline.messages.map((message) => message.text).join();
}
const texts = (room: string, key?: string) => createElement(Texts, { room, key: key ?? room });

test("partykit#336: StrictMode opens one socket, and joins once", async () => {
  const stage = new Stage();
  stage.server.say("lobby", "hello");

  await stage.render(texts("lobby"));

  expect(stage.shown).toBe("hello");
  expect(stage.server.sockets.all).toHaveLength(1);
  expect(stage.told("leave")).toEqual([]);
  expect(stage.told("join").length + stage.told("hello").length).toBeLessThanOrEqual(2);
});

test("partykit#403: a hot reload keeps the socket and what waits to be sent", async () => {
  const stage = new Stage();
  await stage.render(texts("lobby", "before"));
  stage.server.drop();
  const handle = stage.client.room("lobby").send("do not lose me");
  const { client_id } = handle;
  const sockets = stage.server.sockets.all.length;

  // Another key is another component: what was there is unmounted in the same commit.
  await stage.render(texts("lobby", "after"));

  expect(stage.client.outbox.get().map((outgoing) => outgoing.client_id)).toEqual([client_id]);
  await stage.pass(60_000);
  expect(stage.server.sockets.all).toHaveLength(sockets + 1);
  expect(stage.server.room("lobby").log.map((event) => event.client_id)).toEqual([client_id]);
  expect(stage.shown).toBe("do not lose me");
  expect(stage.told("leave")).toEqual([]);
});

test("what is seen of a room outlives a component that is mounted again", async () => {
  const stage = new Stage();
  stage.server.say("lobby", "hello");
  await stage.render(texts("lobby", "before"));
  const asked = stage.told("history").length;

  await stage.render(texts("lobby", "after"));

  expect(stage.shown).toBe("hello");
  expect(stage.told("history")).toHaveLength(asked);
});

test("the last of those who watch a room leaves it, a moment later", async () => {
  const stage = new Stage();
  const two = createElement(Fragment, null, texts("lobby", "a"), texts("lobby", "b"));
  await stage.render(two);
  await stage.render(texts("lobby", "a"));
  expect(stage.told("leave")).toEqual([]);
  expect(stage.client.rooms.get()).toEqual(["lobby"]);

  await stage.render(null);

  expect(stage.told("leave")).toEqual(["lobby"]);
  expect(stage.client.rooms.get()).toEqual([]);
});

test("another name is another room", async () => {
  const stage = new Stage();
  stage.server.say("lobby", "hello");
  stage.server.say("kitchen", "tea?");
  await stage.render(createElement(Texts, { room: "lobby" }));
  expect(stage.shown).toBe("hello");

  await stage.render(createElement(Texts, { room: "kitchen" }));

  expect(stage.shown).toBe("tea?");
  expect(stage.client.rooms.get()).toEqual(["kitchen"]);
});

test("a room that is left and watched again is live again", async () => {
  const stage = new Stage();
  await stage.render(texts("lobby"));
  await stage.render(null);
  stage.server.say("lobby", "while nobody looked");

  await stage.render(texts("lobby"));
  expect(stage.shown).toBe("while nobody looked");
  await stage.render(null);

  expect(stage.client.rooms.get()).toEqual([]);
});

test("a room that the page itself has joined stays joined", async () => {
  const stage = new Stage({ rooms: ["lobby"] });
  await stage.render(texts("lobby"));
  expect(stage.client.rooms.get()).toEqual(["lobby"]);

  await stage.render(null);

  expect(stage.client.rooms.get()).toEqual(["lobby"]);
  expect(stage.told("leave")).toEqual([]);
});

test("what the page joins later on stays joined too", async () => {
  const stage = new Stage();
  await stage.render(texts("lobby"));
  await stage.render(null);
  act(() => stage.client.room("lobby").join());

  await stage.render(texts("lobby"));
  await stage.render(null);

  expect(stage.client.rooms.get()).toEqual(["lobby"]);
});

test("another client has rooms of its own", async () => {
  const stage = new Stage();
  await stage.render(texts("lobby"));
  const other = stage.createClient();

  await stage.render(texts("lobby"), other);

  expect(stage.client.rooms.get()).toEqual([]);
  expect(other.rooms.get()).toEqual(["lobby"]);
  await act(async () => other.close());
});
