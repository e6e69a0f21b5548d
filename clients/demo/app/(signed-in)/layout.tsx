import type { ReactNode } from "react";

import { Listening } from "../../components/listening";
import { Navigation } from "../../components/navigation";
import { SignOutButton } from "../../components/signoutbutton";
import { pageCaller } from "../../server/caller";

export default async function SignedInLayout({ children }: { children: ReactNode }) {
  const session = await pageCaller();
  return (
    <Listening gateway={process.env.CURFEW_GATEWAY_URL!} touchIntervalMs={Number(process.env.TOUCH_INTERVAL_MS ?? 15000)}>
      <a className="skip" href="#main">
        To the content
      </a>
      <header className="top">
        <p className="brand">Northlight</p>
        <Navigation />
        <div className="who">
          <span>{session.user?.name}</span>
          <SignOutButton />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </Listening>
  );
}
