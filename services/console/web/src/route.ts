import { useEffect, useState } from "preact/hooks";

/** Where the page is. It stands behind the #, so that no id of a person gets into a server's or proxy's log. */
export interface Route {
  page: string;
  params: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { page: path || "overview", params: new URLSearchParams(search) };
}

export function useRoute(): Route {
  const [route, set] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = () => set(parseRoute(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

/** link writes where a page is. */
export function link(page: string, params: Record<string, string> = {}): string {
  const q = new URLSearchParams(Object.entries(params).filter(([, v]) => v !== "")).toString();
  return `#/${page}${q && "?" + q}`;
}

export function go(page: string, params: Record<string, string> = {}): void {
  location.hash = link(page, params);
}
