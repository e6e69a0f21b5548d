/** What clearSiteData takes. */
export interface ClearSiteDataOptions {
  /** Whether the browser also forgets what scripts of the origin keep: localStorage, IndexedDB, service workers. Default true. */
  storage?: boolean;
}

/**
 * Returns the headers for the answer to a logout, and for pages that a signed-out person may see: the browser drops its cache of the origin, pages in the
 * back-forward cache with it, and keeps no copy of this answer. Cookies are left to the application. It needs nothing but JavaScript, so it runs at the edge too.
 * Browsers heed it over https, and on loopback.
 *
 * ```ts
 * return new Response(null, { status: 204, headers: clearSiteData() });
 * ```
 */
export function clearSiteData({ storage = true }: ClearSiteDataOptions = {}): Record<string, string> {
  return { "Clear-Site-Data": storage ? '"cache", "storage"' : '"cache"', "Cache-Control": "no-store" };
}
