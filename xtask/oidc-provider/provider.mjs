// An OpenID provider as the library `oidc-provider` makes one, for tests: who signs in types a name
// that is in its settings, and any password.
//
//   node provider.mjs settings.json
//
// SIGHUP reads the settings again. Codes and sessions stay, keys may be others. It is no part of
// Callboard: `xtask/src/services/providers/oidc_provider.rs` installs and starts it.

import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";

import { Provider } from "oidc-provider";

const file = process.argv[2];

/** The key of a name, which is made when it is first asked for and is kept. */
function key(name, algorithm) {
  const kept = join(dirname(file), `${name}.key.json`);
  if (!existsSync(kept)) {
    const { privateKey } =
      algorithm === "RS256"
        ? generateKeyPairSync("rsa", { modulusLength: 2048 })
        : generateKeyPairSync("ec", { namedCurve: "P-256" });
    const made = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: algorithm, kid: name };
    writeFileSync(kept, JSON.stringify(made), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(kept, "utf8"));
}

/** The provider that the settings describe now. */
function provider(settings) {
  const { issuer, algorithm, accounts, clients } = settings;
  return new Provider(issuer, {
    clients: clients.map((it) => ({ id_token_signed_response_alg: algorithm, ...it })),
    jwks: { keys: settings.keys.map((it) => key(it, algorithm)) },
    // The same in every life of it, so that browsers are known again.
    cookies: { keys: ["of no worth, since what it signs is good here only"] },
    pkce: { required: () => true },
    features: {
      clientCredentials: { enabled: true },
      // A token for an API is a JWT for whom it is asked for.
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: "",
          audience: resource,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
    findAccount: (_, id) =>
      Object.hasOwn(accounts, id) && {
        accountId: id,
        claims: () => ({ sub: id, ...accounts[id] }),
      },
  });
}

let settings;
let answer;

function read() {
  settings = JSON.parse(readFileSync(file, "utf8"));
  answer = provider(settings).callback();
}

read();
process.on("SIGHUP", () => {
  read();
  console.log(`read again: ${settings.keys}`);
});

createServer((request, response) => {
  if (settings.silent.some((it) => request.url.startsWith(it))) {
    response.writeHead(503).end();
  } else {
    answer(request, response);
  }
}).listen(settings.port, "127.0.0.1");
