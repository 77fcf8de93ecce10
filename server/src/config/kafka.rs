//! The section `log.kafka`, and what it says to `event-log`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use event_log::kafka::{self, KafkaConfig, Password, Tls};
use serde::{Deserialize, Serialize};

use super::Secret;

/// The cluster that holds the log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    /// Brokers to ask for the others.
    pub bootstrap: String,
    /// What the names of the topics begin with.
    pub prefix: String,
    /// On how many brokers every record is kept.
    pub replication: u32,
    /// How long a process may be silent before its partitions go to others, in milliseconds.
    pub session_timeout_ms: u64,
    /// How connections are protected.
    pub security: Security,
    /// The certificates that brokers are checked against; empty for those of the system.
    pub authorities_file: PathBuf,
    /// A certificate of our own; empty for none.
    pub certificate_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// How the password is proved.
    pub mechanism: Mechanism,
    /// Who connects.
    pub user: String,
    /// The file that holds the password.
    pub password_file: PathBuf,
    /// The password itself.
    pub password: Secret,
}

/// How connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Security {
    /// Not at all.
    Plaintext,
    /// Encrypted.
    Tls,
    /// With a password.
    SaslPlaintext,
    /// With a password, encrypted.
    SaslTls,
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Mechanism {
    /// The password is sent.
    #[serde(rename = "plain")]
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}

impl Kafka {
    /// The cluster as the log wants to know it. Reads the password.
    ///
    /// # Errors
    ///
    /// If a setting that another one needs is missing, or the password cannot be read.
    pub(crate) fn cluster(&self) -> Result<KafkaConfig> {
        let security = match self.security {
            Security::Plaintext => kafka::Security::Plaintext,
            Security::Tls => kafka::Security::Tls(self.tls()?),
            Security::SaslPlaintext => self.sasl(None)?,
            Security::SaslTls => self.sasl(Some(self.tls()?))?,
        };
        Ok(KafkaConfig {
            bootstrap: self.bootstrap.clone(),
            prefix: self.prefix.clone(),
            replication: self.replication,
            session_timeout: Duration::from_millis(self.session_timeout_ms),
            security,
        })
    }

    fn tls(&self) -> Result<Tls> {
        let given = |path: &PathBuf| Some(path.clone()).filter(|it| !it.as_os_str().is_empty());
        let identity = match (given(&self.certificate_file), given(&self.key_file)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => bail!("`log.kafka.certificate_file` needs `log.kafka.key_file`"),
            (None, Some(_)) => bail!("`log.kafka.key_file` needs `log.kafka.certificate_file`"),
        };
        // The client names none of our settings.
        for (setting, path) in [
            ("authorities_file", &self.authorities_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            if let Some(path) = given(path) {
                std::fs::File::open(&path).with_context(|| {
                    format!("could not read `log.kafka.{setting}` at `{}`", path.display())
                })?;
            }
        }
        Ok(Tls { authorities: given(&self.authorities_file), identity })
    }

    fn sasl(&self, tls: Option<Tls>) -> Result<kafka::Security> {
        if self.user.is_empty() {
            bail!("`log.kafka.security` asks for a password, and `log.kafka.user` is empty");
        }
        let mechanism = match self.mechanism {
            Mechanism::Plain => kafka::Mechanism::Plain,
            Mechanism::ScramSha256 => kafka::Mechanism::ScramSha256,
            Mechanism::ScramSha512 => kafka::Mechanism::ScramSha512,
        };
        let (user, password) = (self.user.clone(), Password::new(self.password()?));
        Ok(kafka::Security::Sasl { tls, mechanism, user, password })
    }

    fn password(&self) -> Result<String> {
        let file = &self.password_file;
        match (self.password.0.is_empty(), file.as_os_str().is_empty()) {
            (false, true) => Ok(self.password.0.clone()),
            (true, false) => {
                let read = std::fs::read_to_string(file);
                let text = read.with_context(|| {
                    format!("could not read `log.kafka.password_file` at `{}`", file.display())
                })?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (true, true) => bail!(
                "`log.kafka.security` asks for a password: set `log.kafka.password_file`, or the \
                 variable `CALLBOARD_LOG_KAFKA_PASSWORD`"
            ),
            (false, false) => {
                bail!("both `log.kafka.password` and `log.kafka.password_file` are set; set one")
            }
        }
    }
}
