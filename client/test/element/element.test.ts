// The elements on a page, with the real client and a model of the server behind it.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import "../../src/element.js";
import type { Clock } from "../../src/types.js";
import type { FakeClock } from "../fakes/fake_clock.js";
import { FakeServer } from "../fakes/fake_server.js";

/** The page's own clock, which the test moves. */
const pageClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as number),
};

let server: FakeServer;
let asked: [method: string, path: string, headers: Headers, body: string][];

async function answer(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const path = input as string;
  asked.push([
    init?.method ?? "GET",
    path,
    new Headers(init?.headers),
    (init?.body ?? "") as string,
  ]);
  if (path.endsWith("/connect")) return Response.json(await server.bootstrap());
  if (path.includes("/rooms?")) {
    const rooms = [...server.rooms.keys()].sort();
    return Response.json({
      rooms: rooms.map((room) => ({ room, title: room, kind: "public", unread: 0 })),
    });
  }
  return Response.json({ code: "forbidden", detail: "You may not.", status: 403 }, { status: 403 });
}

const pass = (ms = 500): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const open = (): number => server.sockets.all.filter(({ readyState }) => readyState === 1).length;
const texts = (of: ParentNode = document): string[] =>
  [...of.querySelectorAll(".messages .text")].map(({ textContent }) => textContent);
const chats = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>("headgate-chat")];
const chat = (room = "general", rest = "", inside = ""): string =>
  `<headgate-chat room="${room}" bootstrap="/api/v1/connect" ${rest}>${inside}</headgate-chat>`;
const json = (config: object): string =>
  `<script type="application/json">${JSON.stringify(config)}</script>`;

/** As a browser parses a page: elements come up once what they hold is there. */
function show(html: string): void {
  const parsed = document.createElement("div");
  parsed.innerHTML = html;
  document.body.replaceChildren(...parsed.childNodes);
}

beforeEach(() => {
  vi.useFakeTimers();
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment
  server = new FakeServer(pageClock as FakeClock); // it takes no more of it than a Clock has
  asked = [];
  for (const room of ["general", "help"]) server.say(room, `in ${room}`);
  vi.stubGlobal("WebSocket", server.sockets.WebSocket);
  vi.stubGlobal("fetch", answer);
  localStorage.setItem("headgate.guest", JSON.stringify({ name: "Zoë" }));
});
afterEach(async () => {
  document.body.replaceChildren();
  await pass(1_000);
  expect(open()).toBe(0);
  vi.useRealTimers();
  localStorage.clear();
});

test("a chat connects, shows its room and sends", async () => {
  show(chat("general", 'lang="en"', "<p>Without a script.</p>"));
  await pass();
  expect(texts()).toEqual(["in general"]);
  expect(document.body.textContent).not.toContain("Without a script.");
  const field = document.querySelector("textarea")!;
  field.value = "hi";
  field.form!.requestSubmit();
  await pass();
  expect(server.room("general").log.map(({ text }) => text)).toEqual(["in general", "hi"]);
  expect(texts()).toEqual(["in general", "hi"]);
});

test("the page's JSON says the words, and what shows that a request is its own", async () => {
  const csrf = { header: "X-Proof", token: "abc" };
  show(chat("general", 'lang="de"', json({ strings: { send: "Senden" }, csrf })));
  await pass();
  expect(document.querySelector(".send")!.textContent).toBe("Senden");
  const [method, path, headers, body] = asked[0]!;
  expect([method, path]).toEqual(["POST", "/api/v1/connect"]);
  expect(headers.get("X-Proof")).toBe("abc");
  expect(JSON.parse(body)).toMatchObject({ name: "Zoë" });
});

test("the list may come before the chat that brings the proof", async () => {
  const csrf = { header: "X-Proof", token: "abc" };
  show(
    `<headgate-rooms bootstrap="/api/v1/connect"></headgate-rooms>${chat("general", "", json({ csrf }))}`,
  );
  await pass();
  const [, , headers] = asked.find(([method]) => method === "POST")!;
  expect(headers.get("X-Proof")).toBe("abc");
});

test("with a descriptor there is no request", async () => {
  const descriptor = await server.bootstrap();
  show(chat("general", "", json({ descriptor })));
  await pass();
  expect(texts()).toEqual(["in general"]);
  expect(asked).toEqual([]);
});

test("two chats share one connection, and one room is left with its last chat", async () => {
  show(chat() + chat() + chat("help"));
  await pass();
  expect(chats().map(texts)).toEqual([["in general"], ["in general"], ["in help"]]);
  expect(open()).toBe(1);
  chats()[0]!.remove();
  await pass();
  server.say("general", "more");
  await pass();
  expect(texts(chats()[0])).toEqual(["in general", "more"]);
  chats()[0]!.remove();
  await pass();
  expect(server.commands.filter(({ cmd }) => cmd === "leave").map(({ room }) => room)).toEqual([
    "general",
  ]);
  expect(open()).toBe(1);
});

test("a chat that is moved keeps its connection and its words", async () => {
  show(`${chat("general", "", json({ strings: { send: "Senden" } }))}<div id="aside"></div>`);
  await pass();
  document.querySelector("#aside")!.append(chats()[0]!);
  await pass();
  expect(texts()).toEqual(["in general"]);
  expect(document.querySelector(".send")!.textContent).toBe("Senden");
  expect(server.sockets.all).toHaveLength(1);
});

test("another room is another attribute, on the same connection", async () => {
  show(chat("general", "", '<a slot="start" href="/">Back</a>'));
  await pass();
  chats()[0]!.setAttribute("room", "help");
  await pass();
  expect(texts()).toEqual(["in help"]);
  expect(document.querySelector("headgate-chat a[slot=start]")!.textContent).toBe("Back");
  expect(server.sockets.all).toHaveLength(1);
  server.say("general", "unseen");
  await pass();
  expect(texts()).toEqual(["in help"]);
});

test("the list changes the chat's room, and both share one connection", async () => {
  history.replaceState(null, "", "/chat/general/");
  document.title = "general · Site";
  show(`<headgate-rooms bootstrap="/api/v1/connect" current="general"><ul>
      <li data-room="general"><a href="/chat/general/"><bdi>general</bdi></a></li>
    </ul></headgate-rooms>${chat()}`);
  await pass();
  const link = document.querySelector<HTMLElement>('[data-room="help"] a')!;
  link.click();
  await pass();
  expect(texts()).toEqual(["in help"]);
  expect(location.pathname).toBe("/chat/help/");
  expect(document.title).toBe("help · Site");
  expect(server.sockets.all).toHaveLength(1);
});

test("what moderators ask goes to the API beside the bootstrap, with Django's token", async () => {
  document.cookie = "csrftoken=t0k3n";
  server.room("general").moderates = true;
  show(chat());
  await pass();
  const select = document.querySelector("select")!;
  select.value = "5000";
  select.dispatchEvent(new Event("change"));
  await pass();
  const [method, path, headers, body] = asked.find(([way]) => way === "PATCH")!;
  expect([method, path, body]).toEqual(["PATCH", "/api/v1/rooms/general", '{"slow_mode_ms":5000}']);
  expect(headers.get("X-CSRFToken")).toBe("t0k3n");
  expect(document.querySelector(".notice")!.textContent).toBe("You may not.");
  document.cookie = "csrftoken=; max-age=0";
});

test("a descriptor is good once: a chat that is moved later stays in its room", async () => {
  const descriptor = { ...(await server.bootstrap()), rooms: ["general"] };
  show(`${chat("general", "", json({ descriptor }))}<div id="aside"></div>`);
  await pass();
  chats()[0]!.setAttribute("room", "help");
  await pass();
  const before = server.commands.length;
  document.querySelector("#aside")!.append(chats()[0]!);
  await pass();
  const joined = server.commands.slice(before).filter(({ cmd }) => cmd === "join");
  expect(joined.filter(({ room }) => room === "general")).toEqual([]);
  expect(texts()).toEqual(["in help"]);
});
