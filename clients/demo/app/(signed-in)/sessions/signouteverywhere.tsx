"use client";

import { type SyntheticEvent, useEffect, useRef, useState } from "react";

import { useSigningOut } from "../../../components/listening";
import type { Confirmation, Count } from "../../../server/confirmation";

type Step = { at: "asking" } | { at: "working" } | { at: "failed"; text: string } | { at: "over"; confirmation?: Confirmation } | { at: "pending" };

const titles = {
  asking: "Sign out everywhere?",
  working: "Sign out everywhere?",
  failed: "Sign out everywhere?",
  over: "You are signed out everywhere",
  pending: "You are signed out here",
} as const;

/** Ends all sessions after a question, and then says who knows. */
export function SignOutEverywhere() {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useRef<HTMLHeadingElement>(null);
  const [step, setStep] = useState<Step>({ at: "asking" });
  const signingOut = useSigningOut();
  const done = step.at === "over" || step.at === "pending";

  // The button that had the focus is gone.
  useEffect(() => {
    if (done) title.current?.focus();
  }, [done]);

  async function signOut() {
    setStep({ at: "working" });
    signingOut();
    try {
      const answer = await fetch("/api/signout/everywhere", { method: "POST" });
      if (answer.status === 202) return setStep({ at: "pending" });
      if (!answer.ok || !answer.body) return setStep({ at: "failed", text: await told(answer) });
      setStep({ at: "over" });
      for await (const confirmation of confirmations(answer.body)) setStep({ at: "over", confirmation });
    } catch {
      // Whether the answer was lost before or after the sign-out can't be told from here.
      setStep((now) => (now.at === "over" ? now : { at: "failed", text: "The application didn’t answer. Load the page again to see whether you are still signed in." }));
    }
  }

  // Once it has begun there is nothing to go back to.
  const stay = (event: SyntheticEvent) => step.at !== "asking" && step.at !== "failed" && event.preventDefault();
  return (
    <section aria-labelledby="everywhere" className="card danger">
      <div>
        <h2 id="everywhere">Everywhere</h2>
        <p>Lost a device, or not sure who has a copy? End every session, this one too.</p>
      </div>
      <button onClick={() => dialog.current?.showModal()}>Sign out everywhere…</button>
      <dialog ref={dialog} aria-labelledby="question" onCancel={stay} className={done ? "cover" : undefined}>
        <h2 id="question" ref={title} tabIndex={done ? -1 : undefined}>
          {titles[step.at]}
        </h2>
        {!done && <p>All your sessions end, on this device as well.</p>}
        <div role="status">
          {step.at === "over" && <Confirmed confirmation={step.confirmation} />}
          {step.at === "pending" && "Curfew can’t be reached. This application refuses all your sessions already, and has everything else refuse them as soon as it can."}
        </div>
        <p role="alert" className="failure">
          {step.at === "failed" && step.text}
        </p>
        {done ? (
          <a className="button primary" href="/signin">
            Sign in again
          </a>
        ) : (
          <div className="buttons">
            <button className="dangerous" disabled={step.at === "working"} onClick={() => void signOut()}>
              {step.at === "working" ? "Signing out…" : "Sign out everywhere"}
            </button>
            <button disabled={step.at === "working"} onClick={() => dialog.current?.close()}>
              Cancel
            </button>
          </div>
        )}
      </dialog>
    </section>
  );
}

/** Who has confirmed, and who hasn't: nothing is claimed that wasn't heard. */
function Confirmed({ confirmation }: { confirmation: Confirmation | undefined }) {
  if (!confirmation) return <p>It is stored. Who knows of it is being asked…</p>;
  const { services, tabs, done } = confirmation;
  const missing = [...services.missing, ...tabs.missing];
  return (
    <>
      <ul className="counts">
        <li>
          <Figure count={services} text="services refuse your sessions" />
        </li>
        <li>{tabs.total > 0 || tabs.missing.length > 0 ? <Figure count={tabs} text="browsers with an open page have been told" /> : "No browser had a page open."}</li>
      </ul>
      {done && missing.length > 0 && <p className="notice">Not confirmed within three seconds: {missing.join("; ")}. It is stored, and they learn of it once they can be reached.</p>}
      {!done && <p className="hint">Waiting for the rest…</p>}
    </>
  );
}

function Figure({ count: { confirmed, total }, text }: { count: Count; text: string }) {
  return (
    <>
      <strong>{`${confirmed} of ${total}`}</strong> {text}
    </>
  );
}

async function told(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => null)) as { detail?: string } | null;
  return problem?.detail ?? "That didn’t work. Try again.";
}

/** Reads the lines of the answer as they come. */
async function* confirmations(body: ReadableStream<Uint8Array>): AsyncGenerator<Confirmation> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line) as Confirmation;
  }
}
