// Bluesky's development network (@atproto/dev-env): a directory of identities, a personal data server and the AppView. It
// prints {"pds": …, "settle": …} once it listens; GET settle answers when the AppView has seen all that was written so far.
// Mails that it would send are thrown away. DB_POSTGRES_URL and REDIS_HOST name its stores.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const require = createRequire(process.argv[2] + "/");
const { TestNetwork, mockMailer } = require("@atproto/dev-env");

const network = await TestNetwork.create({ dbPostgresSchema: "area", pds: { hostname: "localhost" } });
mockMailer(network.pds);
const control = createServer(async (_req, res) => {
  try {
    await network.processAll();
    res.end("settled");
  } catch (error) {
    res.statusCode = 500;
    res.end(String(error.stack));
  }
});
control.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ pds: network.pds.port, settle: control.address().port }));
});
