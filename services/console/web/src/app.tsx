import { useEffect, useRef, useState } from "preact/hooks";

import { type Who, Problem, get, post, whenSignedOut } from "./api";
import { Trouble } from "./parts";
import { parseRoute, useRoute } from "./route";
import { Shell } from "./shell";
import { SignIn } from "./pages/signin";

/** App is the page of whoever is signed in, or the one where one does that. */
export function App() {
  // undefined until the server has said whether somebody is signed in.
  const [who, setWho] = useState<Who | null>();
  const [problem, setProblem] = useState<Problem>();
  // why the last session has ended, if it has ended here.
  const [left, setLeft] = useState("");
  const route = useRoute();

  const look = () => {
    setProblem(undefined);
    get<Who>("/session").then(setWho, (e: Problem) => (e.code === "not_signed_in" || e.code === "api_key_scope" ? setWho(null) : setProblem(e)));
  };
  useEffect(() => {
    whenSignedOut(() => setWho((was) => {
      if (was) setLeft("Your session is over: it was idle for long, has reached its end, was signed out elsewhere, or its key was revoked.");
      return null;
    }));
    look();
  }, []);
  useTouches(who ?? null);

  if (problem) return <main class="alone"><Trouble problem={problem} again={look} /></main>;
  if (who === undefined) return <main class="alone" aria-busy="true"><p class="muted">Loading…</p></main>;
  if (who === null) {
    return (
      <SignIn failed={route.page === "sign-in" ? route.params.get("failed") ?? "" : ""} left={left} onSignedIn={(me) => {
        setLeft("");
        if (parseRoute(location.hash).page === "sign-in") location.hash = "#/overview";
        setWho(me);
      }} />
    );
  }
  const signOut = async () => {
    try {
      await post("/session", {}, {}, "DELETE");
      setLeft("You have signed out.");
    } catch (e) {
      setLeft((e as Problem).message);
    }
    setWho(null);
  };
  return <Shell who={who} route={route} onSignOut={signOut} />;
}

/** useTouches tells the server of input, once a minute at most. What the page asks by itself keeps nobody signed in. */
function useTouches(who: Who | null) {
  const last = useRef(0);
  useEffect(() => {
    if (!who) return;
    last.current = Date.now();
    const input = () => {
      if (Date.now() - last.current < 60_000) return;
      last.current = Date.now();
      post("/session/touch", {}).catch(() => {
        // The next call tells what is wrong.
      });
    };
    addEventListener("keydown", input);
    addEventListener("pointerdown", input);
    return () => {
      removeEventListener("keydown", input);
      removeEventListener("pointerdown", input);
    };
  }, [who]);
}
