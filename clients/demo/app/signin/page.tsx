import type { Metadata } from "next";

import { demoPassword } from "../../server/people";
import { reasonText } from "../reasons";
import { SignInForm } from "./signinform";

export const metadata: Metadata = { title: "Sign in" };

export default async function SignIn({ searchParams }: { searchParams: Promise<Record<string, string | string[] | undefined>> }) {
  const { from, reason } = await searchParams;
  const why = typeof reason === "string" ? reasonText(reason) : undefined;
  return (
    <main className="lone">
      <p className="brand">Northlight</p>
      <h1>Sign in</h1>
      {why && (
        <p className="notice" role="status">
          This session has ended: {why}.
        </p>
      )}
      <SignInForm from={typeof from === "string" ? from : ""} />
      <p className="hint">
        This is an example: sign in as <strong>ada</strong>, <strong>grace</strong> or <strong>linus</strong>, with the password <code>{demoPassword}</code>.
      </p>
    </main>
  );
}
