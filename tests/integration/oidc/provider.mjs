// A certified OpenID provider on loopback: node provider.mjs PORT SETTINGS
//
// SETTINGS is a JSON file: `keys` (private JWKs, of one algorithm the first signs), `accounts` (id, secret, claims) and
// `resources` (by resource indicator: audience, alg, ttl, and for an HMAC its secret). It is read once, at the start.

import { readFileSync } from "node:fs";
import * as oidc from "oidc-provider";

const [port, file] = process.argv.slice(2);
const { keys, accounts, resources } = JSON.parse(readFileSync(file, "utf8"));

function resourceServer(resource) {
  const server = resources[resource];
  if (server === undefined) throw new oidc.errors.InvalidTarget();
  const secret = server.secret && Buffer.from(server.secret);
  const kid = keys.find((key) => key.alg === server.alg)?.kid;
  return {
    scope: "",
    audience: server.audience,
    accessTokenTTL: server.ttl,
    accessTokenFormat: server.alg ? "jwt" : "opaque",
    jwt: server.alg ? { sign: { alg: server.alg, key: secret, kid } } : undefined,
  };
}

const provider = new oidc.Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  clients: accounts.map(({ id, secret }) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ["client_credentials"],
    id_token_signed_response_alg: keys[0].alg,
    redirect_uris: [],
    response_types: [],
  })),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: (_, resource) => resourceServer(resource) },
  },
  extraTokenClaims: (_, token) => accounts.find(({ id }) => id === token.clientId)?.claims,
});
provider.on("server_error", (_, error) => console.error(error));
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
