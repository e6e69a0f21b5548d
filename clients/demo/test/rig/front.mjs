import { once } from "node:events";
import http from "node:http";

/** Front is a proxy between browsers and the application, which can hold back answers: what a slow network does. */
export class Front {
  // held: path → promise that ends when its answers may go on. waiting counts answers that are held back, by path.
  #held = new Map();
  waiting = {};

  async start() {
    this.server = http.createServer((request, response) => this.#forward(request, response));
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://localhost:${this.server.address().port}`;
  }

  /** hold has the answers of a path wait, complete as the application has given them, until the function that it returns is called. */
  hold(path) {
    let release;
    this.#held.set(path, new Promise((resolve) => (release = resolve)));
    return () => {
      this.#held.delete(path);
      release();
    };
  }

  #forward(request, response) {
    const { url: path, method, headers } = request;
    const up = http.request({ host: "127.0.0.1", port: this.port, path, method, headers }, async (answer) => {
      const held = this.#held.get(path);
      if (held) {
        this.waiting[path] = (this.waiting[path] ?? 0) + 1;
        await held;
        this.waiting[path]--;
      }
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    up.on("error", () => response.destroy());
    request.pipe(up);
  }

  stop() {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}
