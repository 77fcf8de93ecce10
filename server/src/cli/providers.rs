//! `callboard provider`: who says who somebody is.

use clap::Subcommand;
use domain::id::ProviderId;

use super::ForTenant;

/// What can be done with identity providers.
#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// Let another system say who the members of a tenant are.
    #[command(
        after_help = "It makes nobody a member: who is one signs in there once they have accepted an \
invite with it. What the provider calls Callboard, and the secret if it wants one, are \
made there; the answer says where it has to send people back to.

Examples:
  callboard provider add --tenant acme --name 'Acme' --issuer https://login.acme.example \\
    --client-id callboard --secret-stdin < secret.txt"
    )]
    Add {
        /// Whose members.
        #[command(flatten)]
        tenant: ForTenant,
        /// What it is called where people choose how they sign in.
        #[arg(long)]
        name: String,
        /// Its address, as it calls itself in what it signs.
        #[arg(long)]
        issuer: String,
        /// What it calls Callboard.
        #[arg(long)]
        client_id: String,
        /// Read from the standard input what Callboard proves to it who it is with.
        #[arg(long)]
        secret_stdin: bool,
        /// What it is asked for beside `openid`; may be given several times.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// List the identity providers of a tenant.
    #[command(after_help = "Examples:
  callboard provider list --tenant acme
  callboard provider list --tenant acme --json")]
    List {
        /// Whose providers.
        #[command(flatten)]
        tenant: ForTenant,
    },
    /// Let what another system says of members count for nothing any more.
    #[command(after_help = "Sessions that have begun go on.

Examples:
  callboard provider remove idp_01981234567870008000000000000007 --tenant acme")]
    Remove {
        /// Whose provider.
        #[command(flatten)]
        tenant: ForTenant,
        /// Which, `idp_…`.
        provider: ProviderId,
    },
}
