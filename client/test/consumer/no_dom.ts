// The types where there is no DOM: a server, or React Native.

import { ChatError, createClient, type Client, type ConnectionState } from "headgate";

interface Reaction {
  readonly emoji: string;
}

const client: Client<Reaction> = createClient<Reaction>({
  bootstrap: "https://chat.example/connect",
  storage: null,
  lifecycle: null,
});

export function emojiOf(name: string): string | undefined {
  return client.room(name).timeline.get().messages.at(-1)?.data?.emoji;
}

export function statusOf(state: ConnectionState): string {
  return state.status === "waiting" ? state.reason.text : state.status;
}

export function isFull(error: unknown): boolean {
  return error instanceof ChatError && error.code === "outbox_full";
}
