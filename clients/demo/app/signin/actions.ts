"use server";

import { AuthError } from "next-auth";
import { redirect } from "next/navigation";

import { signIn } from "../../auth";
import { rememberDevice } from "../../server/device";

/** Signs in, and leads to the page that was asked for. */
export async function signInAs(_: unknown, form: FormData): Promise<{ text: string; name: string } | undefined> {
  const [name, password, from] = ["name", "password", "from"].map((field) => String(form.get(field) ?? ""));
  await rememberDevice();
  try {
    await signIn("credentials", { name, password, redirect: false });
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return { text: "That name and password don’t belong together.", name: name! };
  }
  // Only to a page of this application.
  redirect(/^\/[a-z]+$/.test(from!) ? from! : "/sessions");
}
