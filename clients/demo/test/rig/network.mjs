import { once } from "node:events";
import net from "node:net";

/** Network is what lies between browsers and the gateway: it counts WebSockets, and can refuse them as some companies' proxies do. */
export class Network {
  refused = 0;
  refusesUpgrades = false;
  // sockets are the WebSockets that are open, links all connections.
  sockets = new Set();
  #links = new Set();

  async start() {
    this.server = net.createServer((from) => this.#forward(from));
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://localhost:${this.server.address().port}`;
  }

  #forward(from) {
    const to = net.connect(this.port, "127.0.0.1");
    for (const [a, b] of [[from, to], [to, from]]) {
      this.#links.add(a);
      a.on("error", () => b.destroy());
      a.on("close", () => {
        this.#links.delete(a);
        this.sockets.delete(a);
        b.destroy();
      });
    }
    to.pipe(from);
    from.on("data", (bytes) => {
      if (/^upgrade: *websocket\r$/im.test(bytes.toString("latin1"))) {
        if (this.refusesUpgrades) {
          this.refused++;
          from.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
          return to.destroy();
        }
        this.sockets.add(from);
      }
      to.write(bytes);
    });
  }

  stop() {
    for (const link of this.#links) link.destroy();
    this.server?.close();
  }
}
