//! `callboard doctor`: what would keep an installation from working, found before it does.

use anyhow::Result;
use event_log::embedded::{self, Depth, EmbeddedLog, Verified};
use event_log::kafka;
use event_log::{EventLog, Partition};
use serde::Serialize;

use crate::config::{Config, LogKind};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::output::{self, Format};
use crate::stores::OpenVault;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Bad,
}

/// Looks at the settings, the folder, the log and the vault, and says what it found.
///
/// # Errors
///
/// If something is bad.
pub(crate) async fn run(config: &Config, format: Format) -> Result<()> {
    let mut findings = vec![Finding {
        what: "settings",
        verdict: Verdict::Good,
        detail: format!("read; the data folder is `{}`", config.storage.folder.display()),
    }];
    match config.storage.existing() {
        Err(error) => findings.push(bad("data folder", error.to_string())),
        Ok(folder) => {
            findings.push(vault(config, &folder).await);
            findings.push(match config.log.kind {
                LogKind::Embedded => log(&folder),
                LogKind::Kafka => cluster(config).await,
            });
        }
    }
    findings.push(address(config));
    let rows = |findings: &Vec<Finding>| {
        let verdict = |it: Verdict| if it == Verdict::Good { "good" } else { "BAD" }.to_owned();
        let rows: Vec<[String; 3]> = findings
            .iter()
            .map(|it| [it.what.to_owned(), verdict(it.verdict), it.detail.clone()])
            .collect();
        output::table(["what", "verdict", "detail"], &rows)
    };
    output::result(format, &findings, rows)?;
    match findings.iter().filter(|it| it.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        count => Err(Failure::Rejected(format!("{count} bad")).into()),
    }
}

fn good(what: &'static str, detail: String) -> Finding {
    Finding { what, verdict: Verdict::Good, detail }
}

fn bad(what: &'static str, detail: String) -> Finding {
    Finding { what, verdict: Verdict::Bad, detail }
}

async fn vault(config: &Config, folder: &Folder) -> Finding {
    let keyring = async { OpenVault::of(config, folder).await?.keyring(folder).await };
    match keyring.await {
        Ok(keyring) => {
            good("vault", format!("opens; tokens are signed by {}", keyring.issuer().key_id()))
        }
        Err(error) => bad("vault", format!("{error:#}")),
    }
}

/// Reads the whole log back, frames and chains, if no server has it open.
fn log(folder: &Folder) -> Finding {
    if !folder.log().exists() {
        return good("log", "not there yet".to_owned());
    }
    match EmbeddedLog::open(folder.log(), embedded::Settings::default()) {
        Err(event_log::LogError::InUse(_)) => {
            good("log", "in use by a server; stop it to have every record checked".to_owned())
        }
        Err(error) => bad("log", error.to_string()),
        Ok(log) => verified(&log),
    }
}

/// Checks that the cluster keeps its promises.
async fn cluster(config: &Config) -> Finding {
    let found = match config.log.kafka.cluster() {
        Ok(cluster) => kafka::check(&cluster).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => {
            good("log", format!("{} partitions on Kafka; every promise is kept", found.partitions))
        }
        Err(error) => bad("log", format!("{error:#}")),
    }
}

fn verified(log: &EmbeddedLog) -> Finding {
    let (mut records, mut tenants) = (0, 0);
    for partition in (0..log.partitions()).map(Partition) {
        match log.verify(partition, Depth::Chains) {
            Ok(Verified { damage: Some(damage), .. }) => return bad("log", damage.to_string()),
            Ok(verified) => {
                records += verified.records;
                tenants += verified.tenants;
            }
            Err(error) => return bad("log", error.to_string()),
        }
    }
    let whole = format!("{records} records, the chains of {tenants} tenants are whole");
    let torn = log.torn_tails().iter().map(|it| {
        format!("; a torn tail was cut at {}:{}, {}", it.file.display(), it.offset, it.reason)
    });
    good("log", whole + &torn.collect::<String>())
}

fn address(config: &Config) -> Finding {
    let listen = config.http.listen;
    match std::net::TcpListener::bind(listen) {
        Ok(_) => good("address", format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            good("address", format!("{listen} is in use, by a server it seems"))
        }
        Err(error) => bad("address", format!("{listen}: {error}")),
    }
}
