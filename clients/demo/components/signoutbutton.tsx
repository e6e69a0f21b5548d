"use client";

import { useSigningOut } from "./listening";

/** Works without scripts too: the answer leads to the sign-in page. */
export function SignOutButton() {
  const signingOut = useSigningOut();
  return (
    <form action="/api/signout" method="post" onSubmit={signingOut}>
      <button>Sign out</button>
    </form>
  );
}
