// HTTP whose other end is the test: requests are noted, and answered when it says so.

export interface FakeRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  /** The JSON that was sent. */
  readonly body: any;
  readonly signal: AbortSignal | null;
  readonly credentials: string | undefined;
  answer(response: Response): void;
  fail(error?: Error): void;
}

/** The body of an event stream that the test writes. */
export class FakeEvents {
  private controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: Response;

  constructor() {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.controller = controller;
      },
    });
    this.response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  write(text: string | Uint8Array): void {
    this.controller.enqueue(typeof text === "string" ? new TextEncoder().encode(text) : text);
  }

  push(push: { push?: string; [field: string]: unknown }): void {
    this.write(`event: ${push.push ?? "failure"}\ndata: ${JSON.stringify(push)}\n\n`);
  }

  end(): void {
    this.controller.close();
  }

  break(): void {
    this.controller.error(new TypeError("network error"));
  }
}

export class FakeNetwork {
  readonly requests: FakeRequest[] = [];
  /** Answers by itself what it knows; else the test does. */
  answer: (request: FakeRequest) => Response | undefined = () => undefined;

  readonly fetch: typeof fetch = (input, init = {}) =>
    new Promise((resolve, reject) => {
      const url = input instanceof Request ? input.url : String(input);
      const request: FakeRequest = {
        method: init.method ?? "GET",
        url,
        headers: new Headers(init.headers),
        body: typeof init.body === "string" ? JSON.parse(init.body) : undefined,
        signal: init.signal ?? null,
        credentials: init.credentials,
        answer: resolve,
        fail: (error = new TypeError("fetch failed")) => {
          reject(error);
        },
      };
      const aborted = (): void => {
        reject(new DOMException("This operation was aborted", "AbortError"));
      };
      if (init.signal?.aborted) aborted();
      init.signal?.addEventListener("abort", aborted);
      this.requests.push(request);
      const known = this.answer(request);
      if (known) resolve(known);
    });

  get last(): FakeRequest {
    const last = this.requests.at(-1);
    if (!last) throw new Error("There was no request.");
    return last;
  }

  /** Requests by method and path, without the host. */
  get lines(): string[] {
    return this.requests.map(({ method, url }) => `${method} ${url.replace(/^\w+:\/\/[^/]+/, "")}`);
  }
}

export function json(body: unknown, init: ResponseInit = {}): Response {
  const headers = new Headers(init.headers);
  headers.set("Content-Type", "application/json");
  return new Response(JSON.stringify(body), { ...init, headers });
}

export function problem(status: number, code: string, more: object = {}, headers = {}): Response {
  return json({ status, code, detail: `It is ${code}.`, ...more }, { status, headers });
}
