import { useEffect, useState } from "preact/hooks";

/** What somebody has chosen of the page's looks; it is kept in the browser. */
export interface Preferences {
  clock: "local" | "utc";
  theme: "system" | "light" | "dark";
}

const place = "curfew-console";

function read(): Preferences {
  const chosen: Preferences = { clock: "local", theme: "system" };
  try {
    const kept = JSON.parse(localStorage.getItem(place) ?? "{}") as Partial<Preferences>;
    if (kept.clock === "utc") chosen.clock = "utc";
    if (kept.theme === "light" || kept.theme === "dark") chosen.theme = kept.theme;
  } catch {
    // Storage may be forbidden: then the choice lasts as long as the page.
  }
  return chosen;
}

let current = read();
const listeners = new Set<() => void>();

/** choose changes some of it, on the page and for the next time. */
export function choose(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  applyTheme();
  try {
    localStorage.setItem(place, JSON.stringify(current));
  } catch {
    // As above.
  }
  for (const tell of listeners) tell();
}

export function applyTheme(): void {
  const root = document.documentElement;
  if (current.theme === "system") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", current.theme);
}

export function usePreferences(): Preferences {
  const [, again] = useState(0);
  useEffect(() => {
    const tell = () => again((n) => n + 1);
    listeners.add(tell);
    return () => void listeners.delete(tell);
  }, []);
  return current;
}
