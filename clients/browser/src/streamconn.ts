import { ABNORMAL, type Conn, type ConnEvents } from "./conn.js";
import { decode } from "./frames.js";
import { CLOSE_TICKET_REFUSED, type Ack } from "./protocol.generated.js";

/** A conn over server-sent events: the ticket is exchanged for a cookie, with which the browser opens the stream, and comes back to it by itself. */
export class StreamConn implements Conn {
  readonly #url: string;
  readonly #events: ConnEvents;
  readonly #closing = new AbortController();
  #source: EventSource | undefined;
  #stream = "";

  constructor(url: string, ticket: string, events: ConnEvents) {
    this.#url = url + "/v1/notices";
    this.#events = events;
    void this.#open(ticket);
  }

  async #open(ticket: string): Promise<void> {
    let status = 0;
    try {
      status = (await this.#post("", { ticket }, this.#closing.signal)).status;
    } catch {
      // The network's errors are told by the code.
    }
    if (this.#closing.signal.aborted) return;
    if (status !== 204) return this.#end(status === 401 ? CLOSE_TICKET_REFUSED : ABNORMAL);
    const source = (this.#source = new EventSource(this.#url, { withCredentials: true }));
    source.onmessage = ({ data }) => this.#message(data);
    source.onerror = () => {
      if (source.readyState === 2) this.#end(ABNORMAL);
      else this.#events.away();
    };
  }

  #message(data: unknown): void {
    this.#events.heard();
    const frame = decode(data);
    if (!frame) return;
    if ("stream" in frame && frame.stream) this.#stream = frame.stream;
    if (frame.type !== "close") return this.#events.frame(frame);
    // After a code that isn't terminal the browser comes back to the stream by itself, when the server has told it to.
    if (frame.code >= 4500) this.#end(frame.code, frame.reason);
  }

  #end(code: number, reason = ""): void {
    this.close();
    this.#events.closed(code, reason);
  }

  #post(path: string, body: object, signal: AbortSignal | null = null): Promise<Response> {
    return fetch(this.#url + path, {
      method: "POST",
      credentials: "include",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      // An acknowledgement is sent by a page that is about to leave.
      keepalive: !signal,
      signal,
    });
  }

  ack(id: string, outcome: Ack["outcome"]): void {
    if (this.#stream) this.#post("/acks", { stream: this.#stream, id, outcome }).catch(() => {});
  }

  close(): void {
    this.#closing.abort();
    this.#source?.close();
  }
}
