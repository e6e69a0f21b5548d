"use client";

import "./globals.css";

import { Failure } from "../components/failure";

export default function GlobalFailure({ reset }: { reset: () => void }) {
  return (
    <html lang="en">
      <body>
        <main className="lone">
          <Failure reset={reset} />
        </main>
      </body>
    </html>
  );
}
