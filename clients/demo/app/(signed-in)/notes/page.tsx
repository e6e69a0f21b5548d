import type { Metadata } from "next";

import { pageCaller } from "../../../server/caller";
import { Notes } from "./notes";

export const metadata: Metadata = { title: "Notes" };

export default async function NotesPage() {
  await pageCaller();
  return (
    <>
      <h1>Notes</h1>
      <p className="lead">They are kept by another service, which is told who you are and in which session. It refuses a session that is over by itself, whatever this application believes.</p>
      <Notes />
    </>
  );
}
