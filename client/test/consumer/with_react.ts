// The hooks' types, with nothing but React's beside them.

import type { Timeline } from "headgate";
import { useRoom } from "headgate/react";

export function useTexts(name: string): string[] {
  const timeline: Timeline<{ emoji: string }> = useRoom<{ emoji: string }>(name).timeline;
  return timeline.messages.map((message) => message.text);
}
