"use client";

import "./globals.css";

import Failure from "./error";

export default function GlobalFailure({ reset }: { reset: () => void }) {
  return (
    <html lang="en">
      <body>
        <Failure reset={reset} />
      </body>
    </html>
  );
}
