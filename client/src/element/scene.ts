// What the parts of one chat share: the room they show, and the way to say things.

import type { Author, Client, Room } from "../types.js";
import type { Translator } from "./strings.js";
import type { Times } from "./time.js";
import type { Lease } from "./shared_client.js";

export interface Scene {
  readonly client: Client;
  readonly lease: Lease;
  readonly room: Room;
  readonly words: Translator;
  readonly times: Times;
  /** For whoever hears the page: told one at a time; `urgent` at once. */
  say(text: string, urgent?: boolean): void;
  /** For whoever hears the page: what somebody has said. */
  message(name: string, text: string): void;
  /** For everybody: why not, in one line above the composer, until the next one or message. */
  failed(error: unknown): void;
  /** For everybody: that what was asked for is done. */
  done(): void;
  /** Show what has changed, with the next frame. */
  refresh(): void;
}

/** A piece of the page that shows the state as it is whenever it is asked to. */
export interface Part {
  readonly element: HTMLElement;
  update(): void;
}

/** The title of the room, or its name until that is known. */
export const titleOf = (room: Room): string => room.timeline.get().title || room.name;

export const isMe = (client: Client, author: Author): boolean =>
  client.user.get()?.id === author.id;

/** A number for the colour of somebody's face, always the same. */
export function hueOf({ id }: Author): number {
  let hash = 0;
  for (let i = 0; i < id.length; i++) hash = (hash * 31 + id.charCodeAt(i)) | 0;
  return hash & 7;
}
