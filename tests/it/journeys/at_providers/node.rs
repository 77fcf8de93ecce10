//! Node's `oidc-provider` with its accounts.

use serde_json::{Value, json};
use xtask::services::providers::oidc_provider::{Server, Settings};

use super::programs::APP;
use super::{CLIENT, PEOPLE, Provider, SECRET};
use crate::harness::oidc_provider;

pub(super) struct Node(Server);

impl Node {
    /// One that signs with this algorithm; none where it is not installed.
    pub(super) fn start(algorithm: &str) -> Option<Self> {
        let distribution = oidc_provider()?;
        // E-mail addresses need not be one account's only.
        let account =
            |name: &str| (name.to_owned(), json!({ "name": name, "email": "ada@example.org" }));
        let settings = Settings {
            clients: Vec::new(),
            accounts: PEOPLE.map(account).into_iter().collect(),
            keys: vec!["key-1".to_owned()],
            algorithm: algorithm.to_owned(),
            silent: Vec::new(),
        };
        let server = Server::prepare(&distribution, settings).expect("it can be had");
        server.restart().expect("it starts");
        Some(Self(server))
    }

    /// Does not answer what is asked there from now on.
    pub(super) fn be_silent(&self, paths: &[&str]) {
        let silent = paths.iter().map(|it| (*it).to_owned()).collect();
        self.0.change(|it| it.silent = silent).expect("it runs");
    }
}

impl Provider for Node {
    fn issuer(&self) -> String {
        self.0.issuer()
    }

    fn keys(&self) -> String {
        format!("{}/jwks", self.issuer())
    }

    fn register(&self, callbacks: &[String]) {
        let client: Value = json!({
            "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": callbacks,
        });
        self.0.change(|it| it.clients.push(client)).expect("it runs");
    }

    /// It makes them for whom it is asked.
    fn register_program(&self, name: &str, _: &str) {
        let client: Value = json!({
            "client_id": name, "client_secret": SECRET, "redirect_uris": [APP],
            "grant_types": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_method": "client_secret_post",
        });
        self.0.change(|it| it.clients.push(client)).expect("it runs");
    }

    /// Those of before are not shown any more.
    fn change_key(&self) {
        let other = |it: &mut Settings| {
            let number: usize = it.keys[0].trim_start_matches("key-").parse().expect("a number");
            it.keys = vec![format!("key-{}", number + 1)];
        };
        self.0.change(other).expect("it runs");
    }

    fn go_away(&self) {
        self.0.kill().expect("it can be killed");
    }

    fn come_back(&self) {
        self.0.restart().expect("it starts again");
    }
}
