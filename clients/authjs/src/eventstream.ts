/** One server-sent event. */
export interface StreamEvent {
  event: string;
  data: string;
}

const longestEvent = 1 << 20;

/** Reads server-sent events from a body, as they come. It ends with the body, and throws if an event is longer than any can be. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      let from = 0;
      for (let end = rest.indexOf("\n", from); end >= 0; end = rest.indexOf("\n", from)) {
        const line = rest.slice(from, end).replace(/\r$/, "");
        from = end + 1;
        if (line === "") {
          if (data.length > 0) yield { event: event || "message", data: data.join("\n") };
          event = "";
          data = [];
        } else if (line.startsWith("event:")) {
          event = line.slice(6).trim();
        } else if (line.startsWith("data:")) {
          data.push(line.slice(5).replace(/^ /, ""));
        }
      }
      rest = rest.slice(from);
      if (rest.length > longestEvent) throw new Error("an event of the stream has no end");
    }
  } finally {
    // Leaving early must not leave the connection open.
    await reader.cancel().catch(() => {});
  }
}
