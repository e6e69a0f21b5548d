import { once } from "node:events";
import { createServer } from "node:http";

/** serve serves a handler, or an application of Express, on a free port. */
export async function serve(handler) {
  const web = createServer(handler).listen(0, "127.0.0.1");
  await once(web, "listening");
  return {
    url: `http://127.0.0.1:${web.address().port}`,
    close() {
      web.closeAllConnections();
      return new Promise((resolve) => web.close(resolve));
    },
  };
}
