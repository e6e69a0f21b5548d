"use client";

import { useEffect, useState } from "react";

const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const units = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
] as const;

/** An instant, as time that has passed since. The server doesn't know the person's clock, so it writes the instant itself. */
export function When({ at }: { at: string }) {
  const [text, setText] = useState(`${at.slice(0, 10)}, ${at.slice(11, 16)} UTC`);
  useEffect(() => {
    const update = () => setText(passed(at));
    update();
    const timer = setInterval(update, 20_000);
    return () => clearInterval(timer);
  }, [at]);
  return (
    <time dateTime={at} title={at}>
      {text}
    </time>
  );
}

function passed(at: string): string {
  const ms = Date.now() - Date.parse(at);
  for (const [unit, length] of units) if (ms >= length) return ago.format(-Math.floor(ms / length), unit);
  return "just now";
}
