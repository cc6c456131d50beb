import { afterEach, describe, expect, it, vi } from "vitest";

import { createFetch } from "../src/fetch.js";
import { createGuest } from "../src/guest.js";
import type { Descriptor } from "../src/types.js";
import { DESCRIPTOR } from "./fakes/fake_place.js";

const BOOTSTRAP = "https://chat.test/api/v1/connect";
const WITH_DESCRIPTOR = { "Headgate-Connect": JSON.stringify(DESCRIPTOR) };

/** A `client.fetch` whose requests are all answered with the same. */
function made(
  headers: Record<string, string>,
  options: { url?: string; bootstrap?: unknown } = {},
) {
  const requests: [unknown, RequestInit | undefined][] = [];
  const attached: Descriptor[] = [];
  const taught: Response[] = [];
  const guest = createGuest(null, undefined);
  const doFetch = async (input: unknown, init?: RequestInit): Promise<Response> => {
    requests.push([input, init]);
    const answer = new Response('{"id":7}', { status: 201, headers });
    if (options.url) Object.defineProperty(answer, "url", { value: options.url });
    return answer;
  };
  const call = createFetch(
    doFetch,
    "bootstrap" in options ? options.bootstrap : BOOTSTRAP,
    guest,
    (descriptor) => attached.push(descriptor),
    (answer) => taught.push(answer),
  );
  return { call, guest, requests, attached, taught };
}

describe("client.fetch", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("hands on the request and the answer, with its body unread", async () => {
    const { call, requests, taught } = made({ RateLimit: '"send";r=9;t=1' });
    const init = { method: "POST", body: "x" };
    const answer = await call("https://chat.test/comment", init);
    expect(requests).toEqual([["https://chat.test/comment", init]]);
    expect(requests[0]![1]).toBe(init);
    expect(taught).toEqual([answer]);
    expect(await answer.json()).toEqual({ id: 7 });
  });

  it("connects as an answer of bootstrap's host says", async () => {
    const { call, attached } = made(WITH_DESCRIPTOR);
    await call(new URL("https://chat.test/comment"));
    await call(new Request("https://chat.test/comment"));
    expect(attached).toEqual([DESCRIPTOR, DESCRIPTOR]);
  });

  it("connects as an answer of the page's own host says, by any kind of URL", async () => {
    vi.stubGlobal("location", { href: "https://chat.test/page" });
    const { call, attached } = made(WITH_DESCRIPTOR, { bootstrap: undefined });
    await call("/comment");
    await call("comment");
    expect(attached).toHaveLength(2);
  });

  it("learns nothing from others, nor after a redirect to them", async () => {
    const elsewhere = made(WITH_DESCRIPTOR);
    await elsewhere.call("https://evil.test/comment");
    expect([elsewhere.attached, elsewhere.taught]).toEqual([[], []]);
    const redirected = made(WITH_DESCRIPTOR, { url: "https://evil.test/" });
    await redirected.call("https://chat.test/comment");
    expect([redirected.attached, redirected.taught]).toEqual([[], []]);
    const nowhere = made(WITH_DESCRIPTOR, { bootstrap: () => Promise.resolve(DESCRIPTOR) });
    await nowhere.call("/comment");
    expect([nowhere.attached, nowhere.taught]).toEqual([[], []]);
  });

  it("follows no descriptor to another host", async () => {
    const descriptor = JSON.stringify({ ...DESCRIPTOR, url: "wss://evil.test/ws/chat/" });
    const { call, attached } = made({ "Headgate-Connect": descriptor });
    await call("https://chat.test/comment");
    expect(attached).toEqual([]);
  });

  it("gives the answer also where what it says cannot be read", async () => {
    const reported: (() => void)[] = [];
    vi.stubGlobal("setTimeout", (callback: () => void) => reported.push(callback));
    const { call, attached } = made({ "Headgate-Connect": "{" });
    expect((await call("https://chat.test/comment")).status).toBe(201);
    expect(attached).toEqual([]);
    expect(reported[0]).toThrow(SyntaxError);
  });

  it("says which guest one is, to ours alone and not over what the caller says", async () => {
    const { call, guest, requests } = made({});
    guest.keep("g-token");
    await call("https://chat.test/a", { method: "POST", headers: { "X-Own": "1" } });
    await call("https://chat.test/b", { headers: { "Headgate-Guest": "mine" } });
    await call(new Request("https://chat.test/c", { headers: { "X-Own": "2" } }));
    await call("https://evil.test/d");
    const sent = requests.map(([, init]) => Object.fromEntries(new Headers(init?.headers)));
    expect(sent).toEqual([
      { "headgate-guest": "g-token", "x-own": "1" },
      { "headgate-guest": "mine" },
      { "headgate-guest": "g-token", "x-own": "2" },
      {},
    ]);
    expect(requests[0]![1]).toMatchObject({ method: "POST" });
  });

  it("becomes the guest that the first answer names, and stays it", async () => {
    const { call, guest } = made({ "Headgate-Guest": "g-1" });
    await call("https://chat.test/a");
    expect(guest.token).toBe("g-1");
    guest.keep("g-2");
    await call("https://chat.test/a");
    expect(guest.token).toBe("g-2");
  });

  it("rejects as fetch does", async () => {
    const guest = createGuest(null, undefined);
    const fails = (() => Promise.reject(new TypeError("fetch failed"))) as typeof fetch;
    const call = createFetch(
      fails,
      BOOTSTRAP,
      guest,
      () => undefined,
      () => undefined,
    );
    await expect(call("https://chat.test/a")).rejects.toThrow("fetch failed");
  });
});
