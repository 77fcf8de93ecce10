//! `callboard usage` and `callboard events`.

use std::path::PathBuf;

use clap::Subcommand;

use super::ForTenant;

/// What can be done with usage.
#[derive(Debug, Subcommand)]
pub(crate) enum Usage {
    /// Record usage from a file of JSON entries, or `-` for standard input.
    #[command(
        after_help = "An entry names its source, an id that is unique there, a meter that is \
defined and a value; when it was used (now, if not given), whose customer's it is and dimensions
may be added. An entry that was recorded before counts once.

  [{\"source\": \"gateway\", \"id\": \"request-1\", \"meter\": \"api.calls\", \"value\": \"12\",
    \"at\": \"2026-11-30T08:00:00Z\", \"dimensions\": {\"region\": \"eu\"}}]

Examples:
  callboard usage record entries.json --tenant acme
  collect-usage | callboard usage record - --tenant acme"
    )]
    Record {
        /// The file.
        file: PathBuf,
        /// Whose usage.
        #[command(flatten)]
        tenant: ForTenant,
    },
    /// Show the usage of a meter in the last 30 days.
    #[command(after_help = "Examples:
  callboard usage show api.calls --tenant acme
  callboard usage show api.calls --tenant acme --json")]
    Show {
        /// The meter's key.
        meter: String,
        /// Whose usage.
        #[command(flatten)]
        tenant: ForTenant,
    },
}

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Print events as they happen, one a line.
    #[command(after_help = "Examples:
  callboard events tail --tenant acme
  callboard events tail --tenant acme --after 0 | head -100")]
    Tail {
        /// Whose events.
        #[command(flatten)]
        tenant: ForTenant,
        /// Begin after this sequence; the end if not given.
        #[arg(long)]
        after: Option<u64>,
    },
}
