// Requests of the client's own, as the person that one is.

import type { Guest } from "./guest.js";
import { encode } from "./json.js";
import type { WireError } from "./link.js";

export const GUEST_HEADER = "Headgate-Guest";

/** Make a request; `body` is sent as JSON. Rejects where there was no answer. */
export type Http = (
  method: string,
  url: string,
  signal: AbortSignal,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Response>;

export function createHttp(
  doFetch: typeof fetch,
  guest: Guest,
  ownHeaders: (() => Record<string, string>) | undefined,
  taught: (answer: Response) => void,
): Http {
  return async (method, url, signal, body, more) => {
    const headers: Record<string, string> = { ...ownHeaders?.(), ...more };
    if (guest.token) headers[GUEST_HEADER] = guest.token;
    if (body) headers["Content-Type"] = "application/json";
    const csrf = csrfToken(url);
    // What the page was given counts before a cookie that somebody left.
    if (csrf) headers["X-CSRFToken"] ??= csrf;
    const answer = await doFetch(url, {
      method,
      headers,
      signal,
      credentials: "include",
      body: body ? encode(body) : null,
    });
    guest.keep(answer.headers.get(GUEST_HEADER));
    taught(answer);
    return answer;
  };
}

/** Django's token, for its own page alone: the cookie is nobody else's business. */
export function csrfToken(url: string): string | undefined {
  if (typeof document === "undefined") return undefined;
  if (new URL(url, location.href).origin !== location.origin) return undefined;
  return /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1];
}

type Problem = Partial<WireError & { detail: string }>;

/** What an answer that is none says, in the words of the wire where it has them. */
export async function refusalOf(answer: Response): Promise<WireError> {
  const problem = (await answer.json().catch(() => null)) as Problem | null;
  const seconds = Number(answer.headers.get("Retry-After"));
  return {
    code: "http",
    text: problem?.detail ?? `HTTP ${answer.status}`,
    ...(seconds > 0 && { retry_after_ms: seconds * 1000 }),
    ...problem,
  };
}
