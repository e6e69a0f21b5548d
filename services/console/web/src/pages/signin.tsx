import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { Problem, type Who, get, post } from "../api";
import { Field } from "../parts";

const failures: Record<string, string> = {
  "not-granted": "Your provider has said who you are, and the console's configuration gives that nothing. Ask whoever runs Curfew: console.oidc.operators and console.oidc.admins say who is let in.",
  provider: "The sign-in with your provider didn't work. Try again; the server's log tells why.",
};

/** SignIn takes an API key, or sends to the provider. The key goes to the server once, and isn't kept. */
export function SignIn({ failed, left, onSignedIn }: { failed: string; left: string; onSignedIn: (who: Who) => void }) {
  const [oidc, setOidc] = useState(false);
  const [fault, setFault] = useState(failures[failed] ?? "");
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    document.title = "Sign in – Curfew";
    field.current?.focus();
  }, []);
  useEffect(() => {
    get<{ oidc: boolean }>("/methods").then((m) => setOidc(m.oidc), () => {
      // The key's field is there all the same.
    });
  }, []);
  const attempt = async (what: () => Promise<void>) => {
    setBusy(true);
    setFault("");
    try {
      await what();
    } catch (e) {
      setFault(e instanceof Problem ? e.message : String(e));
      field.current?.focus();
    } finally {
      setBusy(false);
    }
  };
  const submit = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      const who = await post<Who>("/session", { key: field.current!.value.trim() });
      onSignedIn(who);
    });
  };
  const provider = () => attempt(async () => {
    const { location: to } = await post<{ location: string }>("/oidc/login", {});
    location.assign(to);
  });
  return (
    <main class="sign-in">
      <div class="sign-in-box">
        <p class="brand brand-large">Curfew<span class="muted"> console</span></p>
        <h1>Sign in</h1>
        {left && <p class="notice" role="status">{left}</p>}
        <div role="alert">{fault && <p class="trouble">{fault}</p>}</div>
        <form onSubmit={submit}>
          <Field id="key" label="API key" hint="One with the scope operator or admin, such as the first key in curfew-data/admin.key.">
            <input id="key" ref={field} type="password" autocomplete="off" spellcheck={false} required aria-describedby="key-hint" />
          </Field>
          <button type="submit" class="primary" disabled={busy}>Sign in</button>
        </form>
        {oidc && (
          <>
            <p class="or"><span>or</span></p>
            <button type="button" class="full" disabled={busy} onClick={provider}>Sign in with your provider</button>
          </>
        )}
      </div>
    </main>
  );
}
