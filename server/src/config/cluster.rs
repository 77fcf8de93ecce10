//! The section `cluster`: how the processes of one installation reach each other.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outbound::PeerIdentity;
use serde::{Deserialize, Serialize};

use super::{Config, LogKind, StorageKind};

/// How other processes reach this one, and how it proves that it is one of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Where to listen for other processes; empty for a process that is alone.
    pub listen: String,
    /// Where they reach it, if not there.
    pub address: String,
    /// The certificates of the cluster's authority.
    pub authorities_file: PathBuf,
    /// The certificate of this process.
    pub certificate_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

/// What a process needs that is not alone.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// Where it listens for others.
    pub listen: SocketAddr,
    /// Where others reach it.
    pub address: String,
    /// What it proves with that it is one of them.
    pub identity: PeerIdentity,
}

impl Config {
    /// What this process needs to be one of several; none if it is alone. Reads the certificates.
    ///
    /// # Errors
    ///
    /// If a setting that another one needs is missing or contradicts it, or a file cannot be read.
    pub(crate) fn membership(&self) -> Result<Option<Membership>> {
        let cluster = &self.cluster;
        if cluster.listen.is_empty() {
            return Ok(None);
        }
        if self.log.kind == LogKind::Embedded {
            bail!(
                "`cluster.listen` is set, and `log.kind` is \"embedded\", which is for one process \
                 alone: empty the one, or set the other to \"kafka\""
            );
        }
        if self.storage.vault == StorageKind::Sqlite {
            bail!(
                "`cluster.listen` is set, and `storage.vault` is \"sqlite\": all processes need the \
                 same vault; set it to \"postgresql\""
            );
        }
        let listen = cluster.listen.parse::<SocketAddr>().with_context(|| {
            format!(
                "expected `cluster.listen` to be an address like `0.0.0.0:7421`, got `{}`",
                cluster.listen
            )
        })?;
        Ok(Some(Membership {
            listen,
            address: cluster.address(listen)?,
            identity: PeerIdentity {
                authorities: read("authorities_file", &cluster.authorities_file)?,
                certificate: read("certificate_file", &cluster.certificate_file)?,
                key: read("key_file", &cluster.key_file)?,
            },
        }))
    }
}

impl Cluster {
    fn address(&self, listen: SocketAddr) -> Result<String> {
        if self.address.is_empty() {
            if listen.ip().is_unspecified() {
                bail!(
                    "`cluster.listen` is `{listen}`, where nobody can be reached: set \
                     `cluster.address` to a name or address of this machine and a port"
                );
            }
            return Ok(listen.to_string());
        }
        let port = self.address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            bail!(
                "expected `cluster.address` to be a host and a port like `node-1.internal:7421`, \
                 got `{}`",
                self.address
            );
        }
        Ok(self.address.clone())
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str().is_empty() {
        bail!("`cluster.listen` is set and needs `cluster.{setting}`, which is empty");
    }
    std::fs::read(path)
        .with_context(|| format!("could not read `cluster.{setting}` at `{}`", path.display()))
}
