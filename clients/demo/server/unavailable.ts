/**
 * Returns what stands in for a page while it can't be told whether its session is over. It is whole in itself, since pages of Next can't be answered with 503, and looks again every
 * five seconds.
 */
export function unavailablePage(nonce: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5">
<title>One moment – Northlight</title>
<style nonce="${nonce}">
body { max-width: 26rem; margin: 18vh auto 2rem; padding: 0 1rem; background: light-dark(#f6f7f9, #111318); color: light-dark(#16181d, #eceef2); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.75rem; }
a { color: light-dark(#1f4fd8, #8fb0ff); }
</style>
<main>
<h1>One moment</h1>
<p>Whether you are still signed in can’t be checked at the moment, so nothing of yours is shown. You aren’t signed out: this page looks again every five seconds.</p>
<p><a href="">Look again now</a></p>
</main>
</html>
`;
}
