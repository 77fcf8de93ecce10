//! `callboard doctor`: what would keep an installation from working, found before it does.

mod machine;

use anyhow::Result;
use event_log::embedded::{self, Depth, EmbeddedLog, Verified};
use event_log::kafka;
use event_log::{EventLog, Partition};
use serde::Serialize;

use crate::config::{Config, LogKind, StorageKind};
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
    /// Nothing is wrong, or not yet.
    Note,
    Bad,
}

impl Verdict {
    fn text(self) -> String {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "BAD",
        }
        .to_owned()
    }
}

/// Looks at the settings, the machine, the folder and what is in it, and says what it found.
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
    findings.extend(machine::look(&config.storage.folder));
    match config.storage.existing() {
        Err(error) => findings.push(note("data folder", format!("none yet: {error}"))),
        Ok(folder) => {
            findings.push(vault(config, &folder).await);
            findings.push(models(config, &folder));
            findings.push(match config.log.kind {
                LogKind::Embedded => log(&folder),
                LogKind::Kafka => cluster(config).await,
            });
        }
    }
    findings.push(address(config));
    let rows = |findings: &Vec<Finding>| {
        let rows: Vec<[String; 3]> = findings
            .iter()
            .map(|it| [it.what.to_owned(), it.verdict.text(), it.detail.clone()])
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

fn note(what: &'static str, detail: String) -> Finding {
    Finding { what, verdict: Verdict::Note, detail }
}

fn bad(what: &'static str, detail: String) -> Finding {
    Finding { what, verdict: Verdict::Bad, detail }
}

async fn vault(config: &Config, folder: &Folder) -> Finding {
    let what = "vault";
    match OpenVault::is_there(config, folder).await {
        Ok(true) => {}
        Ok(false) if folder.log().exists() => {
            let missing = "there is none, but a log whose keys are in one: put it back, or name it \
                           (`storage.vault`)";
            return bad(what, missing.to_owned());
        }
        Ok(false) => return good(what, "not there yet".to_owned()),
        Err(error) => return bad(what, format!("{error:#}")),
    }
    let keyring = async { OpenVault::of(config, folder).await?.keyring(folder).await };
    match keyring.await {
        Ok(keyring) => {
            good(what, format!("opens; tokens are signed by {}", keyring.issuer().key_id()))
        }
        Err(error) => bad(what, format!("{error:#}")),
    }
}

fn models(config: &Config, folder: &Folder) -> Finding {
    let what = "read models";
    if config.storage.read_models == StorageKind::Postgresql {
        return note(what, "in PostgreSQL; a start looks at them".to_owned());
    }
    match folder.check_models() {
        Ok(0) => good(what, "not there yet".to_owned()),
        Ok(count) => good(what, format!("{count} files, each a database")),
        Err(error) => bad(what, format!("{error:#}")),
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
