// Vendors' own libraries, signing webhooks for the tests. Takes {signer, secret, id, timestamp, body} as JSON in argv, and
// prints the headers that the vendor would send.
import { createRequire } from "node:module";

const require = createRequire(process.env.AREA_TEST_NPM + "/");
const load = async (name) => import(require.resolve(name));

// it may be imported only, and node looks for what is imported beside this file
const OCTOKIT = `${process.env.AREA_TEST_NPM}/node_modules/@octokit/webhooks-methods/dist-node/index.js`;

const { signer, secret, id, timestamp, body } = JSON.parse(process.argv[2]);
const at = new Date(timestamp * 1000);
const signers = {
  octokit: async () => ({ "x-hub-signature-256": await (await import(OCTOKIT)).sign(secret, body) }),
  stripe: async () => {
    const Stripe = (await load("stripe")).default;
    return { "stripe-signature": new Stripe("sk_test_1").webhooks.generateTestHeaderString({ payload: body, secret, timestamp }) };
  },
  svix: async () => {
    const signature = new (await load("svix")).Webhook(secret).sign(id, at, body);
    return { "svix-id": id, "svix-timestamp": String(timestamp), "svix-signature": signature };
  },
};
console.log(JSON.stringify(await signers[signer]()));
