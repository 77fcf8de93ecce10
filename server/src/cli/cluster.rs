//! `callboard kafka` and `callboard cluster`: what several processes need.

use std::path::PathBuf;

use clap::Subcommand;

/// What can be done with a Kafka cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Kafka {
    /// Make the topics that are missing, and check all of them: nothing that is there is changed.
    #[command(after_help = "Examples:
  callboard kafka init
  callboard kafka init --partitions 4 --replication 1
  callboard kafka init --check")]
    Init {
        /// How many partitions the log has. Fixed once it exists.
        #[arg(long, default_value_t = 64)]
        partitions: u32,
        /// On how many brokers every record is kept; the setting `log.kafka.replication` if not
        /// given.
        #[arg(long)]
        replication: Option<u32>,
        /// Make nothing.
        #[arg(long, conflicts_with = "partitions")]
        check: bool,
    },
}

/// What can be done for several processes.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Make an authority and a certificate for each host, for development. In production, use an
    /// authority of your own that signs for this installation and nothing else.
    #[command(after_help = "Examples:
  callboard cluster certificates certificates/ 127.0.0.1
  callboard cluster certificates certificates/ node-1.internal node-2.internal")]
    Certificates {
        /// Where the files are made; none that is there is overwritten.
        folder: PathBuf,
        /// The host names or IP addresses of the processes.
        #[arg(required = true)]
        hosts: Vec<String>,
    },
    /// Show the level that events are written as of, and what each process that runs speaks.
    #[command(after_help = "Examples:
  callboard cluster level
  callboard cluster level raise")]
    Level {
        /// What to do with it; nothing if not given.
        #[command(subcommand)]
        change: Option<ClusterLevel>,
    },
}

/// What can be done with the level.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterLevel {
    /// Raise it by one, for good: no older binary can be put back then. A process that is stopped
    /// is not seen; see that none is left that has yet to be replaced.
    #[command(after_help = "Examples:
  callboard cluster level raise")]
    Raise,
}
