"use client";

import type { LogoutListenerHandle } from "@curfew/browser";
import { LogoutListener } from "@curfew/browser/react";
import { useRouter } from "next/navigation";
import { createContext, type ReactNode, useContext, useMemo, useRef } from "react";

const SigningOut = createContext(() => {});

/** Returns what a page calls just before it signs out itself, so that it isn't taken by surprise by its own notice. */
export const useSigningOut = () => useContext(SigningOut);

/** Signs the page out, whatever tab it is in, when its session is over. */
export function Listening({ gateway, touchIntervalMs, children }: { gateway: string; touchIntervalMs: number; children: ReactNode }) {
  const router = useRouter();
  const handle = useRef<LogoutListenerHandle>(null);
  const signingOut = useMemo(() => () => handle.current?.signingOut(), []);
  return (
    <SigningOut value={signingOut}>
      <LogoutListener
        url={gateway}
        ticket="/api/ticket"
        touchUrl="/api/touch"
        touchIntervalMs={touchIntervalMs}
        redirectTo="/signin"
        reasonParam="reason"
        signedIn
        handle={handle}
        onSessionsChanged={() => router.refresh()}
      />
      {children}
    </SigningOut>
  );
}
