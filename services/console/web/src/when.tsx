import { useEffect, useState } from "preact/hooks";

import { usePreferences } from "./preferences";

const two = (n: number, digits = 2) => String(n).padStart(digits, "0");

/** format writes a moment in full, in the clock that was chosen, to the millisecond. */
export function format(at: Date, clock: "local" | "utc", parts: "full" | "time" | "minute" = "full"): string {
  if (Number.isNaN(at.getTime())) return "–";
  const utc = clock === "utc";
  const date = utc ? [at.getUTCFullYear(), at.getUTCMonth() + 1, at.getUTCDate()] : [at.getFullYear(), at.getMonth() + 1, at.getDate()];
  const [h, m, s, ms] = utc
    ? [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds(), at.getUTCMilliseconds()]
    : [at.getHours(), at.getMinutes(), at.getSeconds(), at.getMilliseconds()];
  if (parts === "minute") return `${two(h)}:${two(m)}`;
  const time = `${two(h)}:${two(m)}:${two(s)}.${two(ms, 3)}`;
  return parts === "time" ? time : `${date[0]}-${two(date[1]!)}-${two(date[2]!)} ${time}`;
}

/** ago writes how long something lies behind or ahead, in one unit. */
export function ago(at: number, now: number): string {
  const s = Math.round((now - at) / 1000);
  const [n, unit] = Math.abs(s) < 60 ? [s, "s"] : Math.abs(s) < 3600 ? [Math.trunc(s / 60), "min"] : Math.abs(s) < 172_800 ? [Math.trunc(s / 3600), "h"] : [Math.trunc(s / 86_400), "d"];
  if (n === 0) return "now";
  return n > 0 ? `${n} ${unit} ago` : `in ${-n} ${unit}`;
}

/** useNow counts the time, for what is shown relative to it. */
export function useNow(everyMs: number): number {
  const [now, set] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** When shows a moment in the clock that was chosen; `relative` adds how long ago it was. */
export function When({ at, parts = "full", relative = false }: { at: string; parts?: "full" | "time"; relative?: boolean }) {
  const { clock } = usePreferences();
  const now = useNow(relative ? 5_000 : 3_600_000);
  const date = new Date(at);
  return (
    <time dateTime={at} class="when" title={format(date, clock) + (clock === "utc" ? " UTC" : " local time")}>
      {relative ? ago(date.getTime(), now) : format(date, clock, parts)}
      {!relative && clock === "utc" && <span class="zone"> UTC</span>}
    </time>
  );
}
