"use client";

import { useEffect, useRef } from "react";
import { startLogoutListener } from "./index.js";
import type { LogoutListenerOptions } from "./options.js";

/**
 * Listens for the end of the page's session for as long as it is rendered, and renders nothing. It takes the options of startLogoutListener. Functions may be new at
 * each render; another url, name, dialog or touchIntervalMs begins anew.
 */
export function LogoutListener(options: LogoutListenerOptions): null {
  const latest = useRef(options);
  latest.current = options;
  const { url, name, dialog, touchIntervalMs } = options;
  const touches = !!(options.touch ?? options.touchUrl);
  useEffect(() => {
    // Each option is looked up when it is needed, in the props of the latest render.
    const live = new Proxy({} as LogoutListenerOptions, { get: (_, key) => latest.current[key as keyof LogoutListenerOptions] });
    const listener = startLogoutListener(live);
    return () => listener.close();
  }, [url, name, dialog, touchIntervalMs, touches]);
  return null;
}
