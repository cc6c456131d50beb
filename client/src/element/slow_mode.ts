// For moderators: how long people wait between two messages.

import { h } from "./dom.js";
import type { Part, Scene } from "./scene.js";

const CHOICES_MS = [0, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000];

/** The field `slow_mode_ms`, where something has it. */
const read = (answer: unknown): number | undefined =>
  (answer as { slow_mode_ms?: number }).slow_mode_ms;

export function slowMode({
  client,
  room,
  lease,
  words,
  times,
  failed,
}: Scene): Part & { stop(): void } {
  const { t } = words;
  const path = `rooms/${room.name}`;
  const label = (ms: number): string => (ms ? times.span(ms) : t("off"));
  const select = h(
    "select",
    { change },
    ...CHOICES_MS.map((ms) => h("option", { value: ms }, label(ms))),
  );
  const element = h("label", { class: "slow" }, t("slow_mode"), " ", select);
  let asked = false;
  let known = 0;

  function show(ms: number): void {
    known = ms;
    const value = String(ms);
    // The project may have set a time that is none of the choices.
    if (![...select.options].some((option) => option.value === value)) {
      select.append(h("option", { value }, label(ms)));
    }
    select.value = value;
  }
  async function learn(ask: Promise<unknown>): Promise<void> {
    try {
      show(read(await ask) ?? 0);
    } catch (error) {
      show(known);
      failed(error);
    }
  }
  async function change(): Promise<void> {
    await learn(lease.patch(path, { slow_mode_ms: Number(select.value) }));
  }
  const stop = client.on("push", (push) => {
    if (push.push === "room" && push.room === room.name) show(read(push) ?? 0);
  });
  return {
    element,
    stop,
    update() {
      const { moderates } = room.timeline.get();
      element.hidden = !moderates;
      // Those who need not wait are not told by their own limits.
      if (moderates && !asked) void learn(lease.get(path));
      asked = moderates;
    },
  };
}
