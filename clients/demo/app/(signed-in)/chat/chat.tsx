"use client";

import { type FormEvent, useCallback, useEffect, useRef, useState } from "react";

interface Message {
  from: string;
  text: string;
}

/** What the backend closes with once the session is over. */
const signedOut = 4501;
const mostMessages = 200;

const states = {
  connecting: "Connecting…",
  open: "Connected.",
  closed: "Not connected.",
  cut: "The chat was cut: this session is over.",
} as const;

export function Chat({ url }: { url: string }) {
  const [state, setState] = useState<keyof typeof states>("connecting");
  const [messages, setMessages] = useState<Message[]>([]);
  const [text, setText] = useState("");
  const socket = useRef<WebSocket | null>(null);
  const log = useRef<HTMLUListElement>(null);

  const connect = useCallback(
    async (signal?: AbortSignal) => {
      setState("connecting");
      const token = await chatToken();
      if (signal?.aborted) return;
      if (!token) return setState("closed");
      const opened = new WebSocket(url, ["chat.v1", `token.${token}`]);
      socket.current = opened;
      opened.onopen = () => setState("open");
      opened.onmessage = ({ data }) => setMessages((before) => [...before, JSON.parse(String(data)) as Message].slice(-mostMessages));
      opened.onclose = ({ code }) => socket.current === opened && setState(code === signedOut ? "cut" : "closed");
    },
    [url],
  );

  useEffect(() => {
    const leaving = new AbortController();
    void connect(leaving.signal);
    return () => {
      leaving.abort();
      const open = socket.current;
      socket.current = null;
      open?.close();
    };
  }, [connect]);

  useEffect(() => {
    log.current?.scrollTo({ top: log.current.scrollHeight });
  }, [messages]);

  function say(event: FormEvent) {
    event.preventDefault();
    socket.current?.send(text);
    setText("");
  }

  return (
    <section className="chat" aria-label="Chat">
      <p className="state" data-state={state}>
        <span role="status">{states[state]}</span> {state === "closed" && <button onClick={() => void connect()}>Connect again</button>}
      </p>
      <ul ref={log} role="log" aria-label="Messages" tabIndex={0} className="card">
        {messages.length === 0 && <li className="hint">Nobody has said anything since you came.</li>}
        {messages.map(({ from, text }, i) => (
          <li key={i}>
            <strong>{from}</strong> {text}
          </li>
        ))}
      </ul>
      <form onSubmit={say} className="line">
        <label>
          Message
          <input value={text} onChange={(event) => setText(event.target.value)} required maxLength={500} autoComplete="off" />
        </label>
        <button className="primary" disabled={state !== "open"}>
          Send
        </button>
      </form>
    </section>
  );
}

/** Returns a token for one conn, or undefined if there is none to be had now. */
async function chatToken(): Promise<string | undefined> {
  try {
    const answer = await fetch("/api/chat-token", { method: "POST" });
    return answer.ok ? ((await answer.json()) as { token: string }).token : undefined;
  } catch {
    return undefined;
  }
}
