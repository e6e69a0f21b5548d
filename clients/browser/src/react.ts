"use client";

import { useEffect, useRef } from "react";
import { startLogoutListener } from "./index.js";
import type { LogoutListenerHandle, LogoutListenerOptions } from "./options.js";

/** What LogoutListener takes. */
export interface LogoutListenerProps extends LogoutListenerOptions {
  /** A ref that holds the listener while there is one: for its signingOut(), check() and touch(). */
  handle?: { current: LogoutListenerHandle | null } | undefined;
}

/**
 * Listens for the end of the page's session for as long as it is rendered, and renders nothing. It takes the options of startLogoutListener. Functions may be new at
 * each render; another url, name, dialog or touchIntervalMs begins anew.
 */
export function LogoutListener(options: LogoutListenerProps): null {
  const latest = useRef(options);
  latest.current = options;
  const { url, name, dialog, touchIntervalMs } = options;
  const touches = !!(options.touch ?? options.touchUrl);
  useEffect(() => {
    // Each option is looked up when it is needed, in the props of the latest render.
    const live = new Proxy({} as LogoutListenerOptions, { get: (_, key) => latest.current[key as keyof LogoutListenerOptions] });
    const listener = startLogoutListener(live);
    const { handle } = latest.current;
    if (handle) handle.current = listener;
    return () => {
      listener.close();
      if (handle?.current === listener) handle.current = null;
    };
  }, [url, name, dialog, touchIntervalMs, touches]);
  return null;
}
