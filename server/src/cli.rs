//! The command line: what can be typed, with help and examples. It does nothing itself.

mod access;
mod audit;
mod cluster;
mod providers;
mod usage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use domain::id::ActorId;
use query_api::auth::token::LIFETIME_MAX;

pub(crate) use access::{ApiKey, Member, Role, RolePermits};
pub(crate) use audit::{Audit, AuditExport, AuditVerify};
pub(crate) use cluster::{Cluster, ClusterLevel, Kafka};
pub(crate) use providers::Provider;
pub(crate) use usage::{Events, Usage};

/// Exit codes, for scripts.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  a fault of Callboard or of the machine
  2  the command line or the settings are wrong
  3  something was rejected, or all of it; the report says what and why
  4  no server answers, or it cannot at present; start one with `callboard up`
  5  the server refused: no valid credential, or not permitted";

/// The developer portal whose every change is an immutable event.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// A file with settings; `callboard config --defaults` lists all.
    #[arg(long, global = true, env = "CALLBOARD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder; overrides `storage.folder`.
    #[arg(long, global = true)]
    pub folder: Option<PathBuf>,
    /// Print JSON for machines instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role in this process on one data folder.
    #[command(after_help = "Examples:
  callboard up
  callboard up --demo
  callboard up --folder /var/lib/callboard --listen 127.0.0.1:8080")]
    Up(Up),
    /// Import Backstage catalog files into a tenant's catalog.
    #[command(after_help = "Examples:
  callboard import catalog-info.yaml --tenant acme
  callboard import services/ 'teams/*.yaml' --tenant acme
  callboard import https://example.com/catalog-info.yaml --tenant acme --json

What a file no longer describes stays in the catalog: remove it with the mutation
`applyEntities`, or all of a file's entities with `deregisterLocation`.")]
    Import(Import),
    /// Print a short-lived token of the built-in issuer.
    #[command(after_help = "Examples:
  callboard token --tenant acme
  callboard token --tenant acme --member usr_01981234567870008000000000000007
  curl -H \"Authorization: Bearer $(callboard token --tenant acme)\" …")]
    Token(Token),
    /// Create, list, suspend and reactivate tenants.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard tenant create acme --name 'Acme Corporation'
  callboard tenant list
  callboard tenant suspend acme
  callboard tenant reactivate acme"
    )]
    Tenant(Tenant),
    /// Say who belongs to a tenant.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard member add --tenant acme --role developer --name 'Ada Lovelace'
  callboard member list --tenant acme"
    )]
    Member(Member),
    /// Say which other systems say who the members of a tenant are.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard provider add --tenant acme --name 'Acme' --issuer https://login.acme.example \\
    --client-id callboard --secret-stdin < secret.txt
  callboard provider list --tenant acme"
    )]
    Provider(Provider),
    /// Say what a role of a tenant permits.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard role define payments --permission tenant.read --file permits.json --tenant acme
  callboard role list --tenant acme"
    )]
    Role(Role),
    /// Issue, list and revoke the keys of machines.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard api-key issue nightly-import --scope entity.write --days 90 --tenant acme
  callboard api-key list --tenant acme"
    )]
    ApiKey(ApiKey),
    /// Record and show usage.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard usage record entries.json --tenant acme
  callboard usage show api.calls --tenant acme"
    )]
    Usage(Usage),
    /// Follow the event stream of a tenant.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard events tail --tenant acme
  callboard events tail --tenant acme --after 0 | head -100"
    )]
    Events(Events),
    /// Take the audit trail away, and verify what was taken away.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard audit export --tenant acme -o acme.audit
  callboard audit keys --tenant acme
  callboard audit verify acme.audit --vkey callboard/ins_…/ten_…+1a2b3c4d+AQ…"
    )]
    Audit(Audit),
    /// Look after the read models.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard projections status
  callboard projections rebuild catalog
  callboard projections resume catalog --tenant acme"
    )]
    Projections(Projections),
    /// Look after the log's topics on a Kafka cluster.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard kafka init
  callboard kafka init --partitions 4 --replication 1
  callboard kafka init --check"
    )]
    Kafka(Kafka),
    /// Prepare several processes to work together, and upgrade them.
    #[command(
        subcommand,
        after_help = "Examples:
  callboard cluster certificates certificates/ 127.0.0.1
  callboard cluster certificates certificates/ node-1.internal node-2.internal
  callboard cluster level
  callboard cluster level raise"
    )]
    Cluster(Cluster),
    /// Copy the log and the vault into a folder, while processes serve them on a Kafka cluster,
    /// or once the process that has them in its data folder has stopped.
    #[command(
        after_help = "The root key is not part of it: keep a copy of it elsewhere. Without it \
nobody, you included, can read what is sealed.

Examples:
  callboard backup /backups/2026-11-29
  callboard --config production.toml backup /backups/2026-11-29"
    )]
    Backup {
        /// A folder that is not there yet.
        to: PathBuf,
    },
    /// Bring a backup back, into an empty log, an empty vault and a new data folder.
    #[command(
        after_help = "Put the root key where the settings say first. Topics that are missing \
are made. Read models are not part of a backup: the next start fills them.

Examples:
  callboard restore /backups/2026-11-29
  callboard --config production.toml restore /backups/2026-11-29"
    )]
    Restore {
        /// The folder of a backup.
        from: PathBuf,
    },
    /// Check this machine, the settings and the data folder.
    #[command(after_help = "Examples:
  callboard doctor
  callboard --folder /var/lib/callboard doctor --json")]
    Doctor,
    /// Measure this machine and Callboard on it, against the targets of the design.
    #[command(after_help = "Examples:
  callboard bench
  callboard bench --seconds 30 --json
  CALLBOARD_LOG_KAFKA_REPLICATION=1 callboard bench --kafka
  CALLBOARD_LOG_KAFKA_REPLICATION=1 callboard bench --kafka --partitions 64")]
    Bench(Bench),
    /// Print the settings in force, without secrets.
    #[command(after_help = "Examples:
  callboard config
  callboard config --defaults > callboard.toml
  CALLBOARD_HTTP_LISTEN=127.0.0.1:8080 callboard config")]
    Config {
        /// Print the built-in defaults with their comments instead.
        #[arg(long)]
        defaults: bool,
    },
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Seed three tenants with a believable organisation, in a folder of their own.
    #[arg(long)]
    pub demo: bool,
    /// The address to listen on; overrides `http.listen`.
    #[arg(long)]
    pub listen: Option<std::net::SocketAddr>,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files, folders, globs or `http(s)` addresses.
    #[arg(required = true, value_name = "PATH|URL")]
    pub sources: Vec<String>,
    /// Whose catalog.
    #[command(flatten)]
    pub tenant: ForTenant,
    /// Check and report, but change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// The tenant a command is about.
#[derive(Debug, Args)]
pub(crate) struct ForTenant {
    /// The tenant, by slug or `ten_…` id.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
}

/// Options of `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Whom it is for.
    #[command(flatten)]
    pub tenant: ForTenant,
    /// For which member, `usr_…`, to try what they may do; for the command line itself if not given.
    /// Whoever holds the root key may speak for anybody: what is done so is recorded as theirs.
    #[arg(long)]
    pub member: Option<ActorId>,
    /// How long it is good for, in seconds, at most a day; the setting `tokens.lifetime_seconds` if
    /// not given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=LIFETIME_MAX.as_secs()))]
    pub lifetime: Option<u64>,
}

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Create a tenant.
    #[command(after_help = "Examples:
  callboard tenant create acme
  callboard tenant create acme --name 'Acme Corporation'")]
    Create {
        /// Its slug: 3 to 40 of `a-z 0-9 -`.
        slug: String,
        /// Its display name; the slug if not given.
        #[arg(long)]
        name: Option<String>,
    },
    /// List all tenants.
    #[command(after_help = "Examples:
  callboard tenant list
  callboard tenant list --json")]
    List,
    /// Suspend a tenant: it can read but not change anything.
    #[command(after_help = "Examples:
  callboard tenant suspend acme")]
    Suspend {
        /// Its slug or id.
        tenant: String,
    },
    /// Reactivate a suspended tenant.
    #[command(after_help = "Examples:
  callboard tenant reactivate acme")]
    Reactivate {
        /// Its slug or id.
        tenant: String,
    },
}

/// What can be done with read models.
#[derive(Debug, Subcommand)]
pub(crate) enum Projections {
    /// Show where every model stands, and which tenants are parked.
    #[command(after_help = "Examples:
  callboard projections status
  callboard projections status --json")]
    Status,
    /// Build a model anew beside the live one and switch over.
    #[command(after_help = "Examples:
  callboard projections rebuild catalog")]
    Rebuild {
        /// The model's name.
        model: String,
    },
    /// Take a parked tenant up again.
    #[command(after_help = "Examples:
  callboard projections resume catalog --tenant acme")]
    Resume {
        /// The model's name.
        model: String,
        /// Which tenant.
        #[command(flatten)]
        tenant: ForTenant,
    },
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How long each row runs, in seconds.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Measure at the full size of each target: usage for 10 minutes, 1 million events rebuilt,
    /// 100 million usage identities. Takes about 20 minutes and 6 GB of disk.
    #[arg(long)]
    pub thorough: bool,
    /// Measure what needs a Kafka cluster and a PostgreSQL database instead: those of
    /// `log.kafka` and, if `storage.read_models` is "postgresql", `storage.postgresql`. Give it
    /// an empty database; its topics begin with `bench-` behind `log.kafka.prefix`, and stay. With
    /// that database, two processes are started, stopped and killed too, which takes some minutes.
    #[arg(long)]
    pub kafka: bool,
    /// How many partitions the log on Kafka has from which read models are rebuilt, and which
    /// processes share.
    #[arg(long, default_value_t = 4, requires = "kafka", value_parser = clap::value_parser!(u32).range(2..=1024))]
    pub partitions: u32,
    /// Where the data of the run is kept while it runs; the system's temporary folder if not
    /// given.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The commands below `command` whose help has no example, by their full names.
    fn without_examples(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{name} {}", below.get_name());
            let help = below.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.split_once("Examples:").map_or("", |it| it.1);
            if !examples.contains(&name) {
                found.push(name.clone());
            }
            without_examples(below, &name, found);
        }
    }

    #[test]
    fn the_help_of_every_command_has_an_example_of_it() {
        let mut found = Vec::new();
        without_examples(&Cli::command(), "callboard", &mut found);
        assert_eq!(found, Vec::<String>::new());
        let mut bare = Vec::new();
        let control = clap::Command::new("callboard").subcommand(clap::Command::new("bare"));
        without_examples(&control, "callboard", &mut bare);
        assert_eq!(bare, ["callboard bare"], "the check would notice");
    }
}
