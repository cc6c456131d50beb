// Generated from protocol/codes.toml by protocol/generate.py.

export const ERRORS = {
  bad_command: {
    number: 100,
    http: 400,
    retry: false,
    text: "The command is not well formed.",
  },
  unknown_command: {
    number: 101,
    http: 400,
    retry: false,
    text: "There is no such command.",
  },
  unsupported: {
    number: 102,
    http: 501,
    retry: false,
    text: "This server does not know how to do that yet.",
  },
  too_large: {
    number: 103,
    http: 413,
    retry: false,
    text: "The command is larger than the server takes.",
  },
  binary: {
    number: 104,
    http: 415,
    retry: false,
    text: "Commands are JSON in text frames.",
  },
  hello_expected: {
    number: 105,
    http: 400,
    retry: false,
    text: "The first command must be hello.",
  },
  unauthenticated: {
    number: 200,
    http: 401,
    retry: false,
    text: "Sign in first.",
  },
  forbidden: {
    number: 201,
    http: 403,
    retry: false,
    text: "You may not do that here.",
  },
  muted: {
    number: 202,
    http: 403,
    retry: true,
    text: "You are muted in this room.",
  },
  banned: {
    number: 203,
    http: 403,
    retry: false,
    text: "You are banned from this room.",
  },
  ticket_refused: {
    number: 204,
    http: 401,
    retry: false,
    text: "This ticket is not good any more.",
  },
  csrf_failed: {
    number: 205,
    http: 403,
    retry: false,
    text: "The CSRF token that goes with your cookie is missing or wrong.",
  },
  not_found: {
    number: 300,
    http: 404,
    retry: false,
    text: "There is no such room or message, or it is not for you.",
  },
  not_joined: {
    number: 301,
    http: 409,
    retry: false,
    text: "Join the room first.",
  },
  id_conflict: {
    number: 302,
    http: 409,
    retry: false,
    text: "This client_id was used for another message.",
  },
  too_many_rooms: {
    number: 303,
    http: 409,
    retry: false,
    text: "This connection has joined as many rooms as it may.",
  },
  bad_offset: {
    number: 304,
    http: 409,
    retry: false,
    text: "The growing message ends before that offset.",
  },
  growing: {
    number: 305,
    http: 409,
    retry: false,
    text: "This message is still growing.",
  },
  not_growing: {
    number: 306,
    http: 409,
    retry: false,
    text: "This message does not grow, or no longer.",
  },
  rate_limited: {
    number: 400,
    http: 429,
    retry: true,
    text: "Too fast.",
  },
  overloaded: {
    number: 401,
    http: 503,
    retry: true,
    text: "The server has more to write than it can take.",
  },
  unavailable: {
    number: 402,
    http: 503,
    retry: true,
    text: "The message could not be saved just now.",
  },
  internal: {
    number: 500,
    http: 500,
    retry: true,
    text: "Something went wrong on the server.",
  },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export const CLOSES = {
  rate_limited: { number: 4000, text: "Rate limit exceeded." },
  hello_timeout: { number: 4001, text: "No hello within 10 s." },
  unavailable: { number: 4002, text: "The server cannot serve this connection just now." },
  identity_changed: { number: 4003, text: "Come back and show who you are." },
  ticket_refused: { number: 4004, text: "Come back with a new ticket." },
  too_slow: { number: 4008, text: "Nothing was taken, or heard, for too long." },
  going_away: { number: 4012, text: "The server is going away." },
  connect_limited: { number: 4013, text: "Too many connections." },
  bad_commands: { number: 4500, text: "Too many bad commands." },
  unauthenticated: { number: 4501, text: "Sign in first." },
  not_found: { number: 4502, text: "There is no such room, or it is not for you." },
  access_revoked: { number: 4503, text: "Your access has ended." },
} as const;

export type CloseName = keyof typeof CLOSES;

/** From 4500 on a close code says "don't come back". */
export const FIRST_FINAL_CLOSE = 4500;
