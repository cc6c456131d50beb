// The public names of the package `headgate`.

export { createClient } from "./client.js";
export { ChatError } from "./errors.js";
export { PacedQueue } from "./paced_queue.js";
export type { Gate, PacedItem, PacedQueueOptions } from "./paced_queue.js";
export { debounce, throttle } from "./timing.js";
export type { DebounceOptions, Paced, ThrottleOptions } from "./timing.js";
export type { ErrorCode } from "./codes.js";
export type * from "./types.js";
