// What the hooks show of the client, while it changes.

import { act, createElement, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { describe, expect, test, vi } from "vitest";

import {
  useAllowance,
  useClient,
  useConnection,
  useDraft,
  useOutbox,
  usePresence,
  useRoom,
  useTypists,
} from "../../src/react.js";
import { ADA } from "../fakes/fake_server.js";
import { Stage } from "./stage.js";

/** Show what `use` gives, and count how often it was asked. */
function showing(use: () => ReactNode): { node: ReactNode; renders: () => number } {
  let count = 0;
  const Show = (): ReactNode => {
    count += 1;
    return use();
  };
  return { node: createElement(Show), renders: () => count };
}

function setHidden(hidden: boolean): void {
  vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
  document.dispatchEvent(new Event("visibilitychange"));
}

describe("useConnection", () => {
  const { node } = showing(() => {
    const connection = useConnection();
    return `${connection.status} ${connection.secondsLeft}`;
  });

  test("tells the status as it changes", async () => {
    const stage = new Stage();
    await stage.render(node);
    expect(stage.shown).toBe("idle 0");
    act(() => stage.client.connect());
    expect(stage.shown).toBe("connecting 0");
    await stage.pass(1_000);
    expect(stage.shown).toBe("online 0");
  });

  /** Waiting for the next try, with some 15 s to go, and not whole seconds. */
  async function waiting(): Promise<{ stage: Stage; seconds: () => number }> {
    const stage = new Stage({ reconnect: { minMs: 30_700, maxMs: 30_700 } });
    await stage.render(node);
    act(() => stage.client.connect());
    await stage.pass(1_000);
    stage.server.down = true;
    await act(async () => stage.server.drop());
    await stage.pass(0);
    expect(stage.shown).toMatch(/^waiting \d+$/);
    return { stage, seconds: () => Number(stage.shown.split(" ")[1]) };
  }

  test("counts the seconds to the next try, and then no more", async () => {
    const { stage, seconds } = await waiting();
    const state = stage.client.state.get();
    const leftMs = state.status === "waiting" ? state.nextTryAt - stage.clock.now() : 0;
    expect(leftMs).toBeGreaterThan(5_000);
    expect(leftMs % 1_000).not.toBe(0);
    for (let passed = 0; passed < leftMs - 1_000; passed += 500) {
      expect(seconds()).toBe(Math.ceil((leftMs - passed) / 1_000));
      await stage.pass(500);
    }
    act(() => stage.client.retryNow());
    expect(stage.shown).toBe("connecting 0");
  });

  test("sets no timer while nobody sees it, and is right when it is seen", async () => {
    const { stage, seconds } = await waiting();
    const set = vi.spyOn(stage.clock, "setTimeout");
    const before = seconds();
    act(() => setHidden(true));
    set.mockClear();
    await stage.pass(3_000);
    expect(seconds()).toBe(before);
    expect(set).not.toHaveBeenCalled();

    act(() => setHidden(false));

    expect(seconds()).toBe(before - 3);
    await stage.pass(1_000);
    expect(seconds()).toBe(before - 4);
  });

  test("leaves no timer behind", async () => {
    const { stage } = await waiting();
    await stage.render(null);
    const { pending } = stage.clock;
    act(() => setHidden(false));
    expect(stage.clock.pending).toBe(pending);
    act(() => stage.client.close());
    expect(stage.clock.pending).toBe(0);
  });
});

describe("useRoom", () => {
  test("shows what is said, and says something", async () => {
    const stage = new Stage();
    stage.server.say("lobby", "hello");
    let say: (text: string) => unknown = () => undefined;
    const { node } = showing(() => {
      const { name, timeline, send } = useRoom("lobby");
      say = send;
      const texts = timeline.messages.map((message) => message.text);
      const unsent = timeline.unsent.map((outgoing) => outgoing.text);
      return `${name} ${timeline.status}: ${texts.join()}; ${unsent.join()}`;
    });
    await stage.render(node);
    expect(stage.shown).toBe("lobby live: hello; ");

    act(() => void say("hi"));
    await stage.pass(0);
    expect(stage.shown).toBe("lobby live: hello; hi");
    await stage.pass(1_000);
    expect(stage.shown).toBe("lobby live: hello,hi; ");
  });

  test("gives all that a room has", async () => {
    const stage = new Stage();
    let found: object = {};
    const { node } = showing(() => {
      found = useRoom("lobby");
      return null;
    });
    await stage.render(node);
    const room = stage.client.room("lobby");
    const names = ["loadOlder", "markRead", "typing", "retry", "discard", "edit", "fillGap"];
    expect(found).toMatchObject(
      Object.fromEntries(names.map((name) => [name, room[name as keyof typeof room]])),
    );
    expect(names.filter((name) => !(name in found))).toEqual([]);
  });

  test("loads what is older", async () => {
    const stage = new Stage();
    for (let n = 1; n <= 60; n += 1) stage.server.say("lobby", `m${n}`);
    let older: () => Promise<void> = () => Promise.resolve();
    const { node } = showing(() => {
      const { timeline, loadOlder } = useRoom("lobby");
      older = loadOlder;
      return `${timeline.messages.length} ${timeline.hasOlder}`;
    });
    await stage.render(node);
    expect(stage.shown).toBe("50 true");
    act(() => void older());
    await stage.pass(100);
    expect(stage.shown).toBe("60 false");
  });
});

test("useAllowance counts down", async () => {
  const stage = new Stage();
  stage.server.limiter.policies["send"] = { burst: 1, perSecond: 0.25, key: "user and room" };
  const { node } = showing(() => {
    useRoom("lobby");
    const { secondsLeft, policy } = useAllowance("lobby");
    return `${secondsLeft} ${policy}`;
  });
  await stage.render(node);
  expect(stage.shown).toBe("0 null");
  act(() => void stage.client.room("lobby").send("one"));
  await stage.pass(100);
  expect(stage.shown).toBe("4 send");
  await stage.pass(1_000);
  expect(stage.shown).toBe("3 send");
  await stage.pass(4_000);
  expect(stage.shown).toBe("0 null");
});

test("useOutbox shows one room or all", async () => {
  const stage = new Stage();
  const { node } = showing(() => `${useOutbox("lobby").length} of ${useOutbox().length}`);
  await stage.render(node);
  expect(stage.shown).toBe("0 of 0");
  act(() => {
    stage.client.room("lobby").send("one");
    stage.client.room("kitchen").send("two");
  });
  await stage.pass(0);
  expect(stage.shown).toBe("1 of 2");
  await stage.pass(5_000);
  expect(stage.shown).toBe("0 of 0");
});

test("useTypists shows who writes, until they no longer do", async () => {
  const stage = new Stage();
  const { node } = showing(() => {
    useRoom("lobby");
    return useTypists("lobby")
      .map((author) => author.name)
      .join();
  });
  await stage.render(node);
  stage.server.push({ push: "typing", room: "lobby", author: ADA, typing: true });
  await stage.pass(100);
  expect(stage.shown).toBe("Ada");
  await stage.pass(60_000);
  expect(stage.shown).toBe("");
});

test("usePresence shows who is there", async () => {
  const stage = new Stage();
  const { node } = showing(() => {
    useRoom("lobby");
    const { here, off } = usePresence("lobby");
    return `${here.map((author) => author.name).join()} ${off}`;
  });
  await stage.render(node);
  expect(stage.shown).toBe(" false");
  stage.server.push({ push: "presence", room: "lobby", here: [ADA] });
  await stage.pass(100);
  expect(stage.shown).toBe("Ada false");
});

test("useDraft is like a state, and the room's", async () => {
  const stage = new Stage();
  let set: (text: string) => void = () => undefined;
  const { node } = showing(() => {
    const [text, setText] = useDraft("lobby");
    set = setText;
    return text;
  });
  await stage.render(node);
  act(() => set("half a sen"));
  expect(stage.shown).toBe("half a sen");
  expect(stage.client.room("lobby").draft.get()).toBe("half a sen");
});

test("a component is rendered for what it shows, and for nothing else", async () => {
  const stage = new Stage();
  const { node, renders } = showing(() => useDraft("lobby")[0]);
  await stage.render(node);
  const before = renders();
  act(() => stage.client.connect());
  act(() => void stage.client.room("kitchen").send("something else"));
  await stage.pass(5_000);
  expect(renders()).toBe(before);
});

test("a hook without a provider says what is missing", () => {
  const { node } = showing(() => {
    useClient();
    return null;
  });
  expect(() => renderToString(node)).toThrow("HeadgateProvider");
});
