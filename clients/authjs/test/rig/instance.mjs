// One instance of an application as a process of its own: node instance.mjs '<options of Curfew>' [folder of an outbox]. It prints its address.
import { curfew } from "@curfew/authjs";
import { withRevocation } from "@curfew/authjs/authjs";
import { FileOutbox } from "@curfew/authjs/node";

import { config, start } from "./app.mjs";

const [json, folder] = process.argv.slice(2);
const options = { ...JSON.parse(json), onUnavailable() {}, onRevocationFailed() {} };
if (folder) options.outbox = new FileOutbox(folder);
const server = curfew(options);
const app = await start(withRevocation(config(), server), {
  routes(web) {
    web.get("/ready", async (_req, res) => {
      await server.ready();
      res.end("ready");
    });
    web.get("/stats", (_req, res) => res.json(server.stats()));
  },
});
console.log(app.url);
