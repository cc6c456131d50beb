// Faults of other people's code: seen like any uncaught error, in nobody's way.

/** Throw `error` where no caller of ours is in the way. */
export function report(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}

/** Call a listener; what it throws is reported. */
export function guarded(call: () => void): void {
  try {
    call();
  } catch (error) {
    report(error);
  }
}
