import type { LogoutListenerOptions } from "./options.js";

/** Tells the application what went wrong. */
export function report({ onError }: LogoutListenerOptions, error: unknown): void {
  try {
    onError?.(error);
  } catch {
    // It was told.
  }
}
