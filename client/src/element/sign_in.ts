// The way to sign in, and back.

/** The address, coming back to where one is now: the room may be another than at first. */
export const backHere = (signIn: string): string =>
  signIn.replace(
    /([?&]next=)[^&#]*/,
    (_, name: string) => name + encodeURIComponent(location.pathname + location.search),
  );
