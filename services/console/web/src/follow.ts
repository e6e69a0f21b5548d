import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { type Entry, type History, Problem, get, lines } from "./api";

export type Link = { state: "loading" } | { state: "live" } | { state: "broken"; retryAt: number; problem: Problem } | { state: "refused"; problem: Problem };

/** Filters are parameters of the API; empty ones are left out. */
export type Filters = Record<string, string>;

const pageSize = 200;
/** How many events the page keeps. Older ones go, and are loaded again on demand. */
export const keptEvents = 20_000;
/** A flood is drawn at once, also in a tab that nobody sees. */
const drawEvery = 80;
const firstPause = 500;
const longestPause = 15_000;

export interface Feed {
  /** rows are what is shown, the newest first. */
  rows: Entry[];
  link: Link;
  paused: boolean;
  /** waiting is how many have come since the pause. */
  waiting: number;
  /** older says whether there may be older ones; undefined while they are loaded. */
  older: boolean | undefined;
  pause: (on: boolean) => void;
  loadOlder: () => void;
}

/** useFeed has the newest events, and follows. A broken stream is opened again behind the last event that was heard, so that none is missed. */
export function useFeed(filters: Filters): Feed {
  const key = JSON.stringify(filters);
  const [rows, setRows] = useState<Entry[]>([]);
  const [link, setLink] = useState<Link>({ state: "loading" });
  const [paused, setPaused] = useState(false);
  const [waiting, setWaiting] = useState(0);
  const [older, setOlder] = useState<boolean | undefined>(false);
  // held are those that came since the pause, the oldest first; before is where older pages begin.
  const here = useRef({ paused: false, held: [] as Entry[], before: 0, key });
  here.current.key = key;

  useEffect(() => {
    const stop = new AbortController();
    let pending: Entry[] = [];
    let drawn: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const flush = () => {
      drawn = undefined;
      const came = pending;
      pending = [];
      if (here.current.paused) {
        here.current.held = [...here.current.held, ...came].slice(-keptEvents);
        setWaiting(here.current.held.length);
      } else {
        setRows((was) => [...came.reverse(), ...was].slice(0, keptEvents));
      }
    };
    const take = (line: unknown) => {
      setLink((was) => (was.state === "live" ? was : { state: "live" }));
      if (line === null) return;
      const entry = line as Entry;
      last = Math.max(last, entry.position);
      pending.push(entry);
      drawn ??= setTimeout(flush, drawEvery);
    };
    const run = async () => {
      for (let pause = firstPause; !stop.signal.aborted; pause = Math.min(longestPause, pause * 2)) {
        let problem = new Problem(0, "ended", "The stream has ended.", true);
        try {
          if (last === 0) last = await begin();
          const began = Date.now();
          await lines("/api/v1/revocations", { ...filters, follow: "true", after: last }, stop.signal, take);
          if (Date.now() - began > 5_000) pause = firstPause;
        } catch (e) {
          if (stop.signal.aborted) return;
          if (e instanceof Problem) problem = e;
          else problem = new Problem(0, "broken", "The stream was cut off.", true);
        }
        if (stop.signal.aborted) return;
        if (problem.status === 400 || problem.status === 403) return setLink({ state: "refused", problem }); // the same filters and the same key won't do better
        setLink({ state: "broken", retryAt: Date.now() + pause, problem });
        await new Promise((resolve) => setTimeout(resolve, pause * (0.8 + 0.4 * Math.random())));
      }
    };
    /** begin loads the newest, and returns behind which position to follow. Events of other filters may lie behind it, which costs their reading. */
    const begin = async () => {
      const history = await get<History>("/api/v1/revocations", { ...filters, order: "newest", limit: pageSize }, stop.signal);
      setRows(history.revocations);
      setOlder(history.next_before !== undefined);
      here.current.before = history.next_before ?? 0;
      return history.revocations[0]?.position ?? 0;
    };
    setRows([]);
    setLink({ state: "loading" });
    setWaiting(0);
    here.current.held = [];
    void run();
    return () => {
      stop.abort();
      clearTimeout(drawn);
    };
  }, [key]);

  const pause = useCallback((on: boolean) => {
    here.current.paused = on;
    setPaused(on);
    if (on) return;
    const held = here.current.held;
    here.current.held = [];
    setWaiting(0);
    setRows((was) => [...held.reverse(), ...was].slice(0, keptEvents));
  }, []);
  const loadOlder = useCallback(() => {
    const { before, key: asked } = here.current;
    if (!before) return;
    setOlder(undefined);
    get<History>("/api/v1/revocations", { ...(JSON.parse(asked) as Filters), order: "newest", limit: pageSize, before }).then((history) => {
      if (here.current.key !== asked) return;
      setRows((was) => [...was, ...history.revocations]);
      here.current.before = history.next_before ?? 0;
      setOlder(history.next_before !== undefined);
    }, () => setOlder(true));
  }, []);
  return { rows, link, paused, waiting, older, pause, loadOlder };
}
