//! An identity provider that lies as it is told to.

use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vault::{Keyring, MemoryVault, Root};

pub(super) const CLIENT: &str = "callboard";
pub(super) const SECRET: &str = "a secret: with & signs";

/// How what it says is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// With the key that is shown.
    Well,
    /// With a key of the same name that is not shown.
    ByAnother,
    /// With what everybody knows, as if it was known to the two sides only.
    WithThePublicKey,
    /// Not at all.
    Not,
}

/// What it says and does.
pub(super) struct Lies {
    key: Keyring,
    other: Keyring,
    /// What the next code stands for.
    pub(super) claims: Value,
    pub(super) signed: Signed,
    /// What it calls the kind of what it signs.
    pub(super) kind: Option<String>,
    pub(super) challenge: String,
    /// Whether its keys can be had.
    pub(super) hides_keys: bool,
    /// How often they were.
    pub(super) asked_for_keys: usize,
    /// What it calls itself.
    pub(super) calls_itself: Option<String>,
}

#[derive(Clone)]
pub(in crate::tests) struct Issuer {
    pub(in crate::tests) url: String,
    lies: Arc<Mutex<Lies>>,
}

async fn key(digit: &str) -> Keyring {
    let root = Root::from_hex(&digit.repeat(64), "the issuer").unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

impl Issuer {
    pub(in crate::tests) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lies = Lies {
            key: key("1").await,
            other: key("2").await,
            claims: Value::Null,
            signed: Signed::Well,
            kind: Some("JWT".to_owned()),
            challenge: String::new(),
            hides_keys: false,
            asked_for_keys: 0,
            calls_itself: None,
        };
        let issuer = Self { url, lies: Arc::new(Mutex::new(lies)) };
        let doors = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/enter", get(async || "who are you?"))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, doors).await });
        issuer
    }

    pub(super) fn lies(&self) -> MutexGuard<'_, Lies> {
        self.lies.lock().unwrap()
    }

    /// From now on it signs with another key.
    pub(super) async fn change_key(&self, digit: &str) {
        let key = key(digit).await;
        self.lies().key = key;
    }
}

async fn describe(State(issuer): State<Issuer>) -> Json<Value> {
    let url = &issuer.url;
    let calls_itself = issuer.lies().calls_itself.clone().unwrap_or_else(|| url.clone());
    Json(json!({
        "issuer": calls_itself,
        "authorization_endpoint": format!("{url}/enter"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn keys(State(issuer): State<Issuer>) -> Response {
    let mut lies = issuer.lies();
    lies.asked_for_keys += 1;
    if lies.hides_keys {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let own = lies.key.issuer();
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": own.key_id(),
        "x": URL_SAFE_NO_PAD.encode(own.public_key()),
    });
    let unknown = json!({ "kty": "PQC", "kid": own.key_id(), "strange": true });
    Json(json!({ "keys": [unknown, key] })).into_response()
}

/// Gives a token for the code to who proves that it is the client who has begun this.
async fn token(State(issuer): State<Issuer>, headers: HeaderMap, body: String) -> Response {
    let form: std::collections::HashMap<_, _> =
        form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let mut lies = issuer.lies();
    let said = headers.get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let client = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect::<String>();
    let client = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT}:{client}"));
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let is_client = said == format!("Basic {client}") && challenge == lies.challenge;
    if !is_client || form.get("code").map(String::as_str) != Some("a code") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    lies.challenge.clear();
    let token = lies.token();
    Json(json!({ "id_token": token, "access_token": "x", "token_type": "Bearer" })).into_response()
}

impl Lies {
    pub(super) fn token(&self) -> String {
        let own = self.key.issuer();
        let header = |algorithm| Header {
            kid: Some(own.key_id().to_owned()),
            typ: self.kind.clone(),
            ..Header::new(algorithm)
        };
        let signed =
            |header: &Header, key| jsonwebtoken::encode(header, &self.claims, &key).unwrap();
        match self.signed {
            Signed::Well => {
                signed(&header(Algorithm::EdDSA), EncodingKey::from_ed_der(own.private_key()))
            }
            Signed::ByAnother => {
                let other = self.other.issuer().private_key();
                signed(&header(Algorithm::EdDSA), EncodingKey::from_ed_der(other))
            }
            Signed::WithThePublicKey => {
                signed(&header(Algorithm::HS256), EncodingKey::from_secret(own.public_key()))
            }
            Signed::Not => {
                let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
                let header = json!({ "alg": "none", "typ": "JWT", "kid": own.key_id() });
                format!("{}.{}.", part(&header), part(&self.claims))
            }
        }
    }
}
