import type { LogoutListenerOptions } from "./options.js";

/** Tells the application what went wrong. */
export function report(options: LogoutListenerOptions, error: unknown): void {
  options.onError?.(error instanceof Error ? error : new Error(String(error)));
}
