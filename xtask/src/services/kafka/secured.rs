//! A second way into a cluster: over TLS, with a password that is proved in either of two ways.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::settings::Addresses;

/// What the listener is called.
const NAME: &str = "SECURED";

/// Who the brokers prove to be, and whom they let in.
#[derive(Clone, Debug)]
pub struct Secured {
    /// The certificate of every broker, for `127.0.0.1`, PEM.
    pub certificate: String,
    /// Its key, PEM (PKCS#8).
    pub key: String,
    /// Who is let in. Letters only.
    pub user: String,
    /// With which password. Letters and digits only.
    pub password: String,
}

impl Secured {
    /// Writes certificate and key where the settings name them.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = format!("{}\n{}", self.key, self.certificate);
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The settings of a broker that listens at `address` too.
    pub(super) fn settings(
        &self,
        beside: Addresses,
        address: SocketAddr,
        file: &Path,
    ) -> Vec<(String, String)> {
        let Addresses { client, controller, .. } = beside;
        let Self { user, password, .. } = self;
        let modules = "org.apache.kafka.common.security";
        let plain =
            format!("{modules}.plain.PlainLoginModule required user_{user}=\"{password}\";");
        let scram = format!("{modules}.scram.ScramLoginModule required;");
        let both = format!("PLAINTEXT://{client},{NAME}://{address}");
        let map = format!("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{NAME}:SASL_SSL");
        let own = |name: &str| format!("listener.name.{}.{name}", NAME.to_lowercase());
        vec![
            ("listeners".to_owned(), format!("{both},CONTROLLER://{controller}")),
            ("advertised.listeners".to_owned(), both),
            ("listener.security.protocol.map".to_owned(), map),
            (own("ssl.keystore.type"), "PEM".to_owned()),
            (own("ssl.keystore.location"), file.display().to_string()),
            (own("sasl.enabled.mechanisms"), "PLAIN,SCRAM-SHA-512".to_owned()),
            (own("plain.sasl.jaas.config"), plain),
            (own("scram-sha-512.sasl.jaas.config"), scram),
        ]
    }

    /// What the program that prepares folders is told, so that the cluster knows the password.
    pub(super) fn credentials(&self) -> [String; 2] {
        let Self { user, password, .. } = self;
        let known = format!("SCRAM-SHA-512=[name={user},password={password}]");
        ["--add-scram".to_owned(), known]
    }
}
