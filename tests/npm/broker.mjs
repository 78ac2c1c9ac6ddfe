// An MQTT 3.1.1 broker (aedes) for the tests: whom it lets in, and who may only read, comes as JSON in argv. It prints
// {"port": …} once it listens, and keeps sessions as long as it runs.
import { createRequire } from "node:module";
import { createServer } from "node:net";

const require = createRequire(process.env.AREA_TEST_NPM + "/");
const { Aedes } = await import(require.resolve("aedes"));

const { password, reader } = JSON.parse(process.argv[2]);
const broker = await Aedes.createBroker({
  authenticate: (client, username, given, done) => {
    client.reads = username === reader;
    done(null, String(given) === password);
  },
  authorizePublish: (client, packet, done) => done(client?.reads ? new Error("not allowed") : null),
});
const server = createServer(broker.handle);
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
