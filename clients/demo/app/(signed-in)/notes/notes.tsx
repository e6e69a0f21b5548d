"use client";

import { type FormEvent, useEffect, useState } from "react";

interface Answer {
  notes: string[];
}

export function Notes() {
  const [notes, setNotes] = useState<string[]>();
  const [text, setText] = useState("");
  const [outcome, setOutcome] = useState("");

  useEffect(() => {
    const leaving = new AbortController();
    call({ signal: leaving.signal }).then(
      (answer) => (typeof answer === "string" ? setOutcome(answer) : setNotes(answer.notes)),
      () => {}, // the page was left
    );
    return () => leaving.abort();
  }, []);

  async function add(event: FormEvent) {
    event.preventDefault();
    const answer = await call({ method: "POST", body: JSON.stringify({ text }) });
    if (typeof answer === "string") return setOutcome(answer);
    setNotes(answer.notes);
    setText("");
    setOutcome("It is kept.");
  }

  return (
    <>
      <form onSubmit={(event) => void add(event)} className="line">
        <label>
          New note
          <input value={text} onChange={(event) => setText(event.target.value)} required maxLength={500} autoComplete="off" />
        </label>
        <button className="primary">Keep</button>
      </form>
      <p role="status">{outcome}</p>
      {notes?.length === 0 && <p className="hint">There is none yet.</p>}
      <ul className="notes" aria-label="Notes">
        {notes?.map((note, i) => (
          <li key={i} className="card">
            {note}
          </li>
        ))}
      </ul>
    </>
  );
}

/** Returns what the backend has answered, or in words why it hasn't. */
async function call(init: RequestInit): Promise<Answer | string> {
  let answer: Response;
  try {
    answer = await fetch("/api/notes", init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    return "The application didn’t answer. Try again.";
  }
  if (answer.ok) return (await answer.json()) as Answer;
  if (answer.status === 401) return "This session is over: the notes are closed.";
  if (answer.status === 503) return "Whether this session is over can’t be told at the moment, so the notes stay closed. Try again soon.";
  return "That didn’t work. Try again.";
}
