// Who a guest is: a token of the server's, and the name that they chose.

import type { KeyValueStorage } from "./types.js";

const KEY = "headgate.guest";

export interface Guest {
  token?: string;
  name?: string;
  /** Be this guest from now on, over reloads too; without a token nothing is changed. */
  keep(token: string | null | undefined, name?: string): void;
}

export function createGuest(storage: KeyValueStorage | null, wanted: string | undefined): Guest {
  const guest: Guest = {
    keep(token, name) {
      if (name) guest.name = name;
      else if (!token || token === guest.token) return;
      if (token) guest.token = token;
      try {
        storage?.setItem(KEY, JSON.stringify(guest));
      } catch {
        // Full or forbidden: a guest of this page alone.
      }
    },
  };
  try {
    Object.assign(guest, JSON.parse(storage?.getItem(KEY) ?? "{}"));
  } catch {
    // Nothing is kept here, or nothing that can be read.
  }
  if (wanted) guest.name = wanted;
  return guest;
}
