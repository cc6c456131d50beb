// Listeners by the name of what they listen for.

import { createListeners } from "./listeners.js";

export interface Emitter<Events> {
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void;
}

export function createEmitter<Events>(): Emitter<Events> {
  const { add, tell } = createListeners<[name: keyof Events, event: Events[keyof Events]]>();
  return {
    on: (name, call) =>
      add((told, event) => {
        if (told === name) call(event as Events[typeof name]);
      }),
    emit: tell,
  };
}
