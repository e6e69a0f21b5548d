import { redirect } from "next/navigation";

import { auth } from "../../auth";

export default async function Dash() {
  const session = await auth();
  if (!session) redirect("/api/auth/signin");
  return <p>dash of {session.user?.name}</p>;
}
