import type { Conn, ConnEvents } from "./conn.js";
import { decode, encodeAck, offers, type Past } from "./frames.js";
import type { Ack } from "./protocol.generated.js";

/** A conn over a WebSocket. */
export class SocketConn implements Conn {
  readonly #socket: WebSocket;

  /** Opens a conn. It throws where no WebSocket may be opened at all, as to http from a page of https. */
  constructor(url: string, ticket: string, past: Past, events: ConnEvents) {
    const socket = new WebSocket(url.replace(/^http/, "ws") + "/v1/connect", offers(ticket, past));
    socket.onmessage = ({ data }) => {
      events.heard();
      const frame = decode(data);
      if (frame) events.frame(frame);
    };
    socket.onclose = ({ code, reason }) => events.closed(code, reason);
    this.#socket = socket;
  }

  ack(id: string, outcome: Ack["outcome"]): void {
    if (this.#socket.readyState === 1) this.#socket.send(encodeAck({ id, outcome }));
  }

  close(): void {
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
  }
}
