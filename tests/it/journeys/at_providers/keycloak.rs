//! A realm of Keycloak with its users, looked after through Keycloak's own administration.

use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use xtask::services::Purpose;
use xtask::services::providers::keycloak::Server;

use super::programs::APP;
use super::{CLIENT, PASSWORD, PEOPLE, Provider, SECRET};
use crate::harness::{Answer, Asked, exchange, given_keycloak, keycloak_distribution};

pub(super) struct Keycloak {
    /// Where it is.
    base: Url,
    /// By what its administrator proves who they are.
    password: String,
    realm: String,
    /// Where it is not the one that all tests share.
    own: Option<Server>,
}

impl Keycloak {
    /// A realm of one's own at the Keycloak of this run; none where there is none.
    pub(super) fn given() -> Option<Self> {
        Some(Self::with_realm(&given_keycloak()?, None))
    }

    /// A realm of a Keycloak that nobody else uses.
    pub(super) fn own() -> Option<Self> {
        let distribution = keycloak_distribution()?;
        let own = Server::start(&distribution, Purpose::Tests).expect("it starts");
        let url = own.url().expect("it has a password");
        Some(Self::with_realm(&url, Some(own)))
    }

    fn with_realm(url: &str, own: Option<Server>) -> Self {
        let mut base: Url = url.parse().expect("an address");
        let password = base.password().expect("a password").to_owned();
        base.set_password(None).and_then(|()| base.set_username("")).expect("it has a host");
        let realm = format!("realm-{}", Uuid::now_v7().simple());
        let keycloak = Self { base, password, realm, own };
        let user = |name: &str| {
            json!({
                // Keycloak asks whoever lacks any of these for it. An address is one user's only.
                "username": name, "email": format!("{name}@example.org"), "emailVerified": true,
                "firstName": name, "lastName": "Example", "enabled": true,
                "credentials": [{ "type": "password", "value": PASSWORD }],
            })
        };
        let realm = json!({
            "realm": keycloak.realm, "enabled": true, "users": PEOPLE.map(user),
            // Guessing is not what is tested: one round of its hash is enough.
            "passwordPolicy": "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)",
        });
        keycloak.administer("POST", "/admin/realms", &realm, 201);
        keycloak
    }

    /// Where something of the realm is.
    fn of_realm(&self, path: &str) -> String {
        format!("/admin/realms/{}{path}", self.realm)
    }

    /// What the administration answers.
    #[track_caller]
    fn administer(&self, method: &str, path: &str, body: &Value, status: u16) -> Answer {
        let url = |path: &str| self.base.join(path).expect("a path");
        let text = str::to_owned;
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", "admin"),
            ("password", &self.password),
        ];
        let form = form.map(|(name, value)| (text(name), text(value)));
        let token = url("/realms/master/protocol/openid-connect/token");
        let token = exchange(&Asked::form(&token, &form)).expect("it answers").body;
        let token: Value = serde_json::from_str(&token).expect("JSON");
        let token = token["access_token"].as_str().expect("a text");
        let asked = Asked::json(method, &url(path), body);
        let asked = asked.header("authorization", &format!("Bearer {token}"));
        let answer = exchange(&asked).expect("it answers");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        answer
    }

    /// The key that it signs with at present.
    fn key(&self) -> Value {
        let keys = self.administer("GET", &self.of_realm("/keys"), &Value::Null, 200);
        let keys: Value = serde_json::from_str(&keys.body).expect("JSON");
        keys["active"]["RS256"].clone()
    }
}

impl Provider for Keycloak {
    fn issuer(&self) -> String {
        self.base.join(&format!("/realms/{}", self.realm)).expect("a path").into()
    }

    fn keys(&self) -> String {
        format!("{}/protocol/openid-connect/certs", self.issuer())
    }

    fn register(&self, callbacks: &[String]) {
        let client = json!({
            "clientId": CLIENT, "secret": SECRET, "redirectUris": callbacks,
            "publicClient": false, "standardFlowEnabled": true,
            "attributes": { "pkce.code.challenge.method": "S256" },
        });
        self.administer("POST", &self.of_realm("/clients"), &client, 201);
    }

    fn register_program(&self, name: &str, audience: &str) {
        let for_audience = json!({
            "name": "audience", "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": { "included.custom.audience": audience, "access.token.claim": "true" },
        });
        let client = json!({
            "clientId": name, "secret": SECRET, "redirectUris": [APP], "publicClient": false,
            "standardFlowEnabled": true, "serviceAccountsEnabled": true,
            "protocolMappers": [for_audience],
        });
        self.administer("POST", &self.of_realm("/clients"), &client, 201);
    }

    fn change_key(&self) {
        let before = self.key();
        let realm = self.administer("GET", &self.of_realm(""), &Value::Null, 200);
        let realm: Value = serde_json::from_str(&realm.body).expect("JSON");
        let keys = self.administer("GET", &self.of_realm("/keys"), &Value::Null, 200);
        let keys: Value = serde_json::from_str(&keys.body).expect("JSON");
        let priority = 100 + keys["keys"].as_array().expect("a list").len();
        let component = json!({
            "name": format!("another {priority}"), "parentId": realm["id"],
            "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
            "config": {
                "priority": [priority.to_string()], "algorithm": ["RS256"], "keySize": ["2048"],
                "active": ["true"], "enabled": ["true"],
            },
        });
        self.administer("POST", &self.of_realm("/components"), &component, 201);
        assert_ne!(self.key(), before);
    }

    fn go_away(&self) {
        self.own.as_ref().expect("it is not shared").kill().expect("it can be killed");
    }

    fn come_back(&self) {
        self.own.as_ref().expect("it is not shared").restart().expect("it starts again");
    }
}
