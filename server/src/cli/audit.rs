//! `callboard audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::id::ActorId;
use event_log::note::VerifierKey;

use super::ForTenant;

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Take a tenant's history away as a file that proves itself.
    #[command(
        after_help = "Run it once more with the same file if it breaks off: it goes on where \
that ends. What a filter leaves out is in the file as a hash, so that nothing can be missing unnoticed.

Examples:
  callboard audit export --tenant acme -o acme.audit
  callboard audit export --tenant acme --from 2026-01-01T00:00:00Z --to 2027-01-01T00:00:00Z -o acme-2026.audit
  callboard audit export --tenant acme --type member --type role -o who-may-what.audit"
    )]
    Export(AuditExport),
    /// Verify an export, without a server or a data folder.
    #[command(after_help = "Have the key from where you trust it: `callboard audit keys`, or \
`GET /api/v1/audit/keys`, at another time and by another way than the file.

Examples:
  callboard audit verify acme.audit --vkey callboard/ins_…/ten_…+1a2b3c4d+AQ…
  callboard audit verify acme-july.audit --vkey … --earlier acme-june.audit")]
    Verify(AuditVerify),
    /// Show the keys that verify a tenant's exports, the oldest first; the last one signs.
    #[command(after_help = "Examples:
  callboard audit keys --tenant acme
  callboard audit keys --tenant acme --json")]
    Keys {
        /// Whose exports.
        #[command(flatten)]
        tenant: ForTenant,
    },
    /// Make a new key, which signs the exports of all tenants from now on.
    #[command(after_help = "The keys before it stay: what they have signed can still be verified.

Examples:
  callboard audit replace-key")]
    ReplaceKey,
}

/// Options of `audit export`.
#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// Whose history.
    #[command(flatten)]
    pub tenant: ForTenant,
    /// From this sequence or instant on; the beginning if not given.
    #[arg(long, value_name = "SEQUENCE|INSTANT")]
    pub from: Option<String>,
    /// Up to this sequence, or before this instant; the end if not given.
    #[arg(long, value_name = "SEQUENCE|INSTANT")]
    pub to: Option<String>,
    /// Show what this actor did, `usr_…`.
    #[arg(long)]
    pub actor: Option<ActorId>,
    /// Show events of this type, or that begin so; may be given several times.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// The file; what is there of the same export is gone on with.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// The export.
    pub file: PathBuf,
    /// A key that is trusted; may be given several times, where keys were replaced.
    #[arg(long = "vkey", value_name = "KEY")]
    pub keys: Vec<VerifierKey>,
    /// An export from before, which must be the beginning of the same history.
    #[arg(long, value_name = "FILE")]
    pub earlier: Option<PathBuf>,
}
