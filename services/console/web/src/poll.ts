import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { Problem } from "./api";

export interface Polled<T> {
  data: T | undefined;
  problem: Problem | undefined;
  /** again asks at once. */
  again: () => void;
}

/** usePolled asks, and again every so often while the page is seen; 0 asks once. What was heard last stays when an answer fails. A new `key` forgets it. */
export function usePolled<T>(key: string, everyMs: number, ask: (signal: AbortSignal) => Promise<T>): Polled<T> {
  const [state, set] = useState<{ key: string; data: T | undefined; problem: Problem | undefined }>({ key, data: undefined, problem: undefined });
  const [turn, next] = useState(0);
  const asked = useRef(ask);
  asked.current = ask;
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      if (!document.hidden) {
        try {
          const data = await asked.current(stop.signal);
          if (!stop.signal.aborted) set({ key, data, problem: undefined });
        } catch (e) {
          if (stop.signal.aborted) return;
          const problem = e instanceof Problem ? e : new Problem(0, "broken", String(e), false);
          set((was) => ({ key, data: was.key === key ? was.data : undefined, problem }));
        }
      }
      if (everyMs > 0 && !stop.signal.aborted) timer = setTimeout(look, everyMs);
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs, turn]);
  const again = useCallback(() => next((n) => n + 1), []);
  return state.key === key ? { data: state.data, problem: state.problem, again } : { data: undefined, problem: undefined, again };
}
