"use client";

import { useActionState } from "react";

import { signInAs } from "./actions";

export function SignInForm({ from }: { from: string }) {
  const [failure, act, pending] = useActionState(signInAs, undefined);
  return (
    <form action={act} className="stack">
      <input type="hidden" name="from" value={from} />
      <label>
        Name
        <input name="name" autoComplete="username" autoCapitalize="none" required defaultValue={failure?.name} aria-describedby={failure && "failure"} />
      </label>
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required aria-describedby={failure && "failure"} />
      </label>
      <p id="failure" role="alert" className="failure">
        {failure?.text}
      </p>
      <button className="primary" disabled={pending}>
        {pending ? "Signing in…" : "Sign in"}
      </button>
    </form>
  );
}
