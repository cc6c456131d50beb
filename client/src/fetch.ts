// `client.fetch`: the page's own requests, whose answers connect it and teach it limits.

import { CONNECT_HEADER, isDescriptor } from "./descriptor.js";
import type { Guest } from "./guest.js";
import { GUEST_HEADER } from "./http.js";
import { guarded } from "./report.js";
import type { Descriptor } from "./types.js";

/**
 * The body of an answer is the caller's, unread.
 *
 * @param bootstrap - its host is believed, beside the page's own, and no other
 */
export function createFetch(
  doFetch: typeof fetch,
  bootstrap: unknown,
  guest: Guest,
  attach: (descriptor: Descriptor) => void,
  taught: (answer: Response) => void,
): typeof fetch {
  const page = typeof location === "undefined" ? undefined : location.href;
  const hostOf = (url: unknown): string => {
    try {
      return new URL(url as string, page).host;
    } catch {
      return "";
    }
  };
  /** Others would learn who the guest is, or say where to connect. */
  const isOurs = (url: string): boolean => {
    const host = hostOf(url);
    return (
      !!host && [page, bootstrap].some((ours) => typeof ours === "string" && hostOf(ours) === host)
    );
  };

  return async (input, init) => {
    const { url = (input as URL).toString(), headers: own } = input as Partial<Request>;
    const { token } = guest;
    if (token && isOurs(url)) {
      const headers = new Headers(init?.headers ?? own);
      if (!headers.has(GUEST_HEADER)) headers.set(GUEST_HEADER, token);
      init = { ...init, headers };
    }
    const answer = await doFetch(input, init);
    // After a redirect it is another's answer.
    if (isOurs(answer.url || url)) {
      guarded(() => {
        const header = answer.headers.get(CONNECT_HEADER);
        const descriptor: unknown = header && JSON.parse(header);
        if (!token) guest.keep(answer.headers.get(GUEST_HEADER));
        taught(answer);
        if (isDescriptor(descriptor) && isOurs(descriptor.url)) attach(descriptor);
      });
    }
    return answer;
  };
}
