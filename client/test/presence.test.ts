import { expect, test } from "vitest";
import { NOBODY, present } from "../src/presence.js";
import { ADA, ZOE } from "./fakes/fake_server.js";

const push = (fields: object): any => ({ push: "presence", room: "general", ...fields });

test("all who are here replace what was known", () => {
  const known = present(NOBODY, push({ here: [ADA] }));
  expect(present(known, push({ here: [ZOE] }))).toEqual({ here: [ZOE], off: false });
});

test("some come and some go, nobody twice", () => {
  let known = present(NOBODY, push({ joined: [ADA, ZOE] }));
  known = present(known, push({ joined: [ADA], left: ["nobody"] }));
  expect(known.here).toEqual([ADA, ZOE]);
  known = present(known, push({ left: [ADA.id] }));
  expect(known.here).toEqual([ZOE]);
});

test("where there are too many, nobody is told until all are again", () => {
  const crowd = present({ here: [ADA], off: false }, push({ off: true }));
  expect(crowd).toEqual({ here: [], off: true });
  expect(present(crowd, push({ joined: [ADA] }))).toBe(crowd);
  expect(present(crowd, push({ here: [ADA] }))).toEqual({ here: [ADA], off: false });
});
