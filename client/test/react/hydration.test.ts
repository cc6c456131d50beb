// The browser takes over what a server has rendered.

import { act, createElement, type ReactNode } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, test, vi } from "vitest";

import { HeadgateProvider, useConnection, useRoom } from "../../src/react.js";
import { Stage } from "./stage.js";

function Chat(): ReactNode {
  const { timeline } = useRoom("lobby");
  return `${useConnection().status} ${timeline.messages.length}`;
}

test("it begins with what the server said, and goes on with what is known", async () => {
  const stage = new Stage({ rooms: ["lobby"] });
  stage.server.say("lobby", "hello");
  const chat = createElement(HeadgateProvider, { client: stage.client }, createElement(Chat));
  const box = document.createElement("div");
  box.innerHTML = renderToString(chat);
  expect(box.textContent).toBe("idle 0");
  stage.client.connect();
  await stage.pass(1_000);
  const complaint = vi.spyOn(console, "error");

  const root = await act(async () =>
    hydrateRoot(box, chat, {
      onRecoverableError: (error) => {
        throw error;
      },
    }),
  );

  expect(box.textContent).toBe("online 1");
  expect(complaint).not.toHaveBeenCalled();
  await act(async () => root.unmount());
});
