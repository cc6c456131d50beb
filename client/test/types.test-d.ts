// What the types promise, checked by `npm run types`; nothing here is ever run.

import { expectTypeOf } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import type { ChatError } from "../src/errors.js";
import { grow, type Growing } from "../src/grow.js";
import { useClient, useDraft, useOutbox, useRoom } from "../src/react.js";
import type {
  Client,
  ClientOptions,
  ConnectionState,
  Draft,
  JsonObject,
  KeyValueStorage,
  Message,
  Outgoing,
  Sent,
  Store,
  Timeline,
  WebSocketConstructor,
} from "../src/types.js";

interface Sticker {
  readonly sticker: string;
}

declare const client: Client<Sticker>;
declare const plain: Client;

// `data` is what the generic says, from the client down to each message.
const room = client.room("lobby");
expectTypeOf(room.timeline).toEqualTypeOf<Store<Timeline<Sticker>>>();
expectTypeOf(room.timeline.get().messages[0]!.data).toEqualTypeOf<Sticker | undefined>();
expectTypeOf(room.timeline.get().unsent[0]!.data).toEqualTypeOf<Sticker | undefined>();
expectTypeOf(client.outbox.get()).toEqualTypeOf<readonly Outgoing<Sticker>[]>();
expectTypeOf(plain.room("lobby").timeline.get().messages).toEqualTypeOf<readonly Message[]>();
expectTypeOf<Message["data"]>().toEqualTypeOf<JsonObject | undefined>();
room.send("hello");
room.send({ text: "hello", data: { sticker: "wave" } });
// @ts-expect-error: not a sticker
room.send({ text: "hello", data: { emoji: "wave" } });
// @ts-expect-error: there is no message without a text
room.send({ data: { sticker: "wave" } });
// @ts-expect-error: a message is asked for what it has only
expectTypeOf(room.timeline.get().messages[0].text).toBeString();
expectTypeOf(room.send("hello").sent).toEqualTypeOf<Promise<Sent>>();
expectTypeOf(room.send).parameter(0).toEqualTypeOf<string | Draft<Sticker>>();

// A message grows with the data that its type says.
declare const told: Message<Sticker>;
expectTypeOf(told.open).toEqualTypeOf<boolean | undefined>();
expectTypeOf(told.state).toEqualTypeOf<"cut" | "cancelled" | undefined>();
expectTypeOf(grow(client, "lobby", { data: { sticker: "wave" } })).toEqualTypeOf<
  Promise<Growing>
>();
// @ts-expect-error: it begins without a text
void grow(client, "lobby", { text: "hello" });
// @ts-expect-error: not a sticker
void grow(client, "lobby", { data: { emoji: "wave" } });

// An event brings what its name says.
client.on("message", (message) => expectTypeOf(message).toEqualTypeOf<Message<Sticker>>());
client.on("gap", (gap) => expectTypeOf(gap.room).toBeString());
client.on("error", (error) => expectTypeOf(error).toEqualTypeOf<ChatError>());
// @ts-expect-error: no such event
client.on("messages", () => undefined);

// Every state of the connection is told by its status, and there are no others.
export function described(state: ConnectionState): string {
  switch (state.status) {
    case "idle":
    case "paused":
      return state.status;
    case "connecting":
      return `try ${state.attempt}`;
    case "online":
      return state.transport;
    case "waiting":
      return `${state.nextTryAt}: ${state.reason.text}`;
    case "offline":
    case "closed":
      return state.reason.text;
    default:
      return expectNever(state);
  }
}
declare function expectNever(value: never): string;

// A store is read, not written; nor is what is in it.
// @ts-expect-error: read only
client.state.get().status = "online";
// @ts-expect-error: read only
room.timeline.get().messages.push();

// The platform's own fit, and those of Node.
expectTypeOf<typeof WebSocket>().toExtend<WebSocketConstructor>();
expectTypeOf<typeof NodeWebSocket>().toExtend<WebSocketConstructor>();
expectTypeOf<typeof localStorage>().toExtend<KeyValueStorage>();
expectTypeOf<typeof sessionStorage>().toExtend<KeyValueStorage>();
expectTypeOf<typeof fetch>().toExtend<NonNullable<ClientOptions["fetch"]>>();
expectTypeOf<typeof crypto.randomUUID>().toExtend<NonNullable<ClientOptions["randomUUID"]>>();
expectTypeOf(client.fetch).toEqualTypeOf<typeof fetch>();

// The hooks hand the generic on.
export function useTheTypes(): void {
  expectTypeOf(useClient()).toEqualTypeOf<Client>();
  expectTypeOf(useClient<Sticker>()).toEqualTypeOf<Client<Sticker>>();
  const { timeline, send } = useRoom<Sticker>("lobby");
  expectTypeOf(timeline).toEqualTypeOf<Timeline<Sticker>>();
  expectTypeOf(send).parameter(0).toEqualTypeOf<string | Draft<Sticker>>();
  expectTypeOf(useOutbox<Sticker>()).toEqualTypeOf<readonly Outgoing<Sticker>[]>();
  expectTypeOf(useDraft("lobby")[1]).parameter(0).toBeString();
}
