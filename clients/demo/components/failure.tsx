"use client";

/** Stands in for a page that couldn't be made. */
export function Failure({ reset }: { reset: () => void }) {
  return (
    <>
      <h1>That didn’t work</h1>
      <p role="alert">The page couldn’t be made. Nothing was changed by that.</p>
      <p>
        <button onClick={reset}>Try again</button>
      </p>
    </>
  );
}
