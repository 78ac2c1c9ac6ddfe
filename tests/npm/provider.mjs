// A strict authorization server (oidc-provider) for the tests of OAuth2. PKCE is required, refresh tokens rotate, and a code or
// refresh token that is used twice ends the whole grant, as RFC 9700 wants it.
//
// It takes its settings as JSON in argv, prints {"port": …} once it listens, and answers under /test: what it counted, how long
// tokens last, whether the token endpoint is down. Whoever logs in is named by ?account=… (or, for browsers, by /test/set), and
// agrees unless ?deny=1.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.env.AREA_TEST_NPM + "/");
const { Provider } = await import(require.resolve("oidc-provider"));

const settings = JSON.parse(process.argv[2]);
const seen = { refresh: 0, code: 0, app: 0, refused: 0, revoked: 0, tokens: [] };
const control = { ttl: 3600, down: false, slow: 0, grants: [], account: "", deny: false };
const accounts = settings.accounts;

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: settings.clients,
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"], write: ["sub"] },
  scopes: ["openid", "offline_access", "email", "profile", "write"],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  expiresWithSession: async () => false,
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false }, revocation: { enabled: true }, introspection: { enabled: false } },
  interactions: { url: (_ctx, one) => `/interaction/${one.uid}` },
  ttl: { AccessToken: () => control.ttl, ClientCredentials: () => control.ttl, RefreshToken: 86400, Session: 3600, Grant: 86400, Interaction: 600, AuthorizationCode: 60 },
  cookies: { keys: ["only for tests"] },
});
provider.on("grant.success", (ctx) => {
  const kind = ctx.oidc.params.grant_type;
  seen[{ refresh_token: "refresh", client_credentials: "app" }[kind] ?? "code"] += 1;
  seen.tokens.push(ctx.body.access_token, ctx.body.refresh_token);
});
provider.on("grant.error", () => { seen.refused += 1; });
provider.on("refresh_token.destroyed", () => { seen.revoked += 1; });
provider.on("refresh_token.saved", (token) => { control.grants.push(token.grantId); });

const callback = provider.callback();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function interact(req, res, url) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (url.searchParams.get("deny") || control.deny) {
    return provider.interactionFinished(req, res, { error: "access_denied", error_description: "no" });
  }
  if (prompt.name === "login") {
    const result = { login: { accountId: url.searchParams.get("account") || control.account } };
    return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(prompt.details.missingOIDCScope?.join(" ") || params.scope);
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

async function test(req, res, url) {
  if (url.pathname === "/test/set") {
    for (const [name, value] of url.searchParams) control[name] = JSON.parse(value);
  } else if (url.pathname === "/test/secret") {
    (await provider.Client.find(url.searchParams.get("client"))).clientSecret = url.searchParams.get("secret");
  } else if (url.pathname === "/test/end") {
    for (const id of control.grants) {
      await provider.RefreshToken.revokeByGrantId(id);
      await provider.AccessToken.revokeByGrantId(id);
    }
    control.grants = [];
  } else if (url.pathname === "/test/end-access") {
    for (const token of seen.tokens.filter(Boolean)) {
      await (await provider.AccessToken.find(token))?.destroy();
      await (await provider.ClientCredentials.find(token))?.destroy();
    }
  }
  res.setHeader("content-type", "application/json");
  res.end(JSON.stringify(seen));
}

// What is told to a client in its own name, and to no user.
async function app(req, res) {
  const token = await provider.ClientCredentials.find(req.headers.authorization?.replace("Bearer ", "") ?? "");
  res.statusCode = token?.isValid ? 200 : 401;
  res.setHeader("content-type", "application/json");
  res.end(JSON.stringify(token?.isValid ? { client: token.clientId } : { error: "invalid_token" }));
}

server.on("request", async (req, res) => {
  const url = new URL(req.url, issuer);
  try {
    if (url.pathname.startsWith("/test/")) return await test(req, res, url);
    if (url.pathname === "/app") return await app(req, res);
    if (url.pathname.startsWith("/interaction/")) return await interact(req, res, url);
    if (url.pathname === "/token") {
      if (control.slow) await wait(control.slow);
      if (control.down) { res.statusCode = 503; return res.end("down"); }
    }
    return callback(req, res);
  } catch (error) {
    res.statusCode = 500;
    res.end(String(error.stack));
  }
});
console.log(JSON.stringify({ port }));
