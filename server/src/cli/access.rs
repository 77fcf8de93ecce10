//! `callboard member`, `callboard role` and `callboard api-key`: who may do what.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};
use domain::id::ActorId;

use super::ForTenant;

/// What can be done with members.
#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Let somebody belong to a tenant.
    #[command(after_help = "Examples:
  callboard member add --tenant acme --role developer --name 'Ada Lovelace'
  callboard member add --tenant acme --role viewer --role billing
  callboard member add --tenant acme --role admin usr_01981234567870008000000000000007")]
    Add {
        /// Whose member.
        #[command(flatten)]
        tenant: ForTenant,
        /// Who, `usr_…`; a new identity is made if not given.
        member: Option<ActorId>,
        /// A role they have; may be given several times.
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<String>,
        /// What they are called.
        #[arg(long)]
        name: Option<String>,
    },
    /// List the members of a tenant.
    #[command(after_help = "Examples:
  callboard member list --tenant acme
  callboard member list --tenant acme --json")]
    List {
        /// Whose members.
        #[command(flatten)]
        tenant: ForTenant,
    },
    /// Give a member other roles: all that they have from now on.
    #[command(after_help = "Examples:
  callboard member roles usr_01981234567870008000000000000007 --role maintainer --tenant acme")]
    Roles {
        /// Whose member.
        #[command(flatten)]
        tenant: ForTenant,
        /// Who, `usr_…`.
        member: ActorId,
        /// A role they have from now on; may be given several times.
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Make out an invite, with which a member chooses how they sign in, once.
    #[command(
        after_help = "Whoever has the invite is that member, so hand it over where nobody else \
reads it. It is sent with a login name and a password to `POST /api/v1/invites/accept`.

Examples:
  callboard member invite usr_01981234567870008000000000000007 --tenant acme
  callboard member invite usr_01981234567870008000000000000007 --hours 24 --tenant acme"
    )]
    Invite {
        /// Whose member.
        #[command(flatten)]
        tenant: ForTenant,
        /// Who, `usr_…`: a member already.
        member: ActorId,
        /// For how long, in hours: 168 at most, which are seven days.
        #[arg(long, default_value_t = 168)]
        hours: u32,
    },
    /// Let somebody belong to a tenant no longer.
    #[command(after_help = "Examples:
  callboard member remove usr_01981234567870008000000000000007 --tenant acme")]
    Remove {
        /// Whose member.
        #[command(flatten)]
        tenant: ForTenant,
        /// Who, `usr_…`.
        member: ActorId,
    },
}

/// What can be done with roles.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Define a role of a tenant.
    #[command(
        after_help = "A file holds permissions that are given for some entities only, as the \
mutation `defineRole` takes them:

  [{\"permission\": \"entity.read\",
    \"when\": {\"any\": [{\"ownedBy\": \"group:default/payments\"}, {\"tag\": \"public\"}]}}]

Examples:
  callboard role define onlooker --permission tenant.read --permission entity.read --tenant acme
  callboard role define payments --permission tenant.read --file permits.json --tenant acme
  make-permits | callboard role define payments --file - --tenant acme"
    )]
    Define(RolePermits),
    /// Let a role permit something else: all that it permits from now on.
    #[command(after_help = "Examples:
  callboard role change payments --permission tenant.read --file permits.json --tenant acme")]
    Change(RolePermits),
    /// List the roles that every tenant has and those that a tenant has defined.
    #[command(after_help = "Examples:
  callboard role list --tenant acme
  callboard role list --tenant acme --json")]
    List {
        /// Whose roles.
        #[command(flatten)]
        tenant: ForTenant,
    },
    /// Let a role permit nothing any more, for good.
    #[command(after_help = "Examples:
  callboard role retire payments --tenant acme")]
    Retire {
        /// Whose role.
        #[command(flatten)]
        tenant: ForTenant,
        /// What it is called.
        name: String,
    },
}

/// A role and what it permits.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("permits").required(true).multiple(true))]
pub(crate) struct RolePermits {
    /// Whose role.
    #[command(flatten)]
    pub tenant: ForTenant,
    /// What it is called.
    pub name: String,
    /// Something that it permits, say `entity.read`; may be given several times.
    #[arg(long = "permission", value_name = "PERMISSION", group = "permits")]
    pub permissions: Vec<String>,
    /// A file of JSON with more that it permits, under conditions, or `-` for standard input.
    #[arg(long, group = "permits")]
    pub file: Option<PathBuf>,
}

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKey {
    /// Issue an API key, and print it: it is shown once.
    #[command(after_help = "Examples:
  callboard api-key issue nightly-import --scope entity.write --days 90 --tenant acme
  callboard api-key issue probe --scope tenant.read --expires 2027-06-01T00:00:00Z --tenant acme
  callboard api-key issue bot --member usr_01981234567870008000000000000007 \\
      --scope entity.read --days 30 --tenant acme")]
    Issue {
        /// Where it is good for something.
        #[command(flatten)]
        tenant: ForTenant,
        /// What it is called.
        name: String,
        /// Something that may be done by it for as long as its member may do so; may be given
        /// several times.
        #[arg(long = "scope", required = true, value_name = "PERMISSION")]
        scope: Vec<String>,
        /// For how many days it is good.
        #[arg(long, required_unless_present = "expires", conflicts_with = "expires",
            value_parser = clap::value_parser!(u32).range(1..=366))]
        days: Option<u32>,
        /// When it ends instead, like `2027-06-01T00:00:00Z`.
        #[arg(long)]
        expires: Option<DateTime<Utc>>,
        /// Whose key it is, `usr_…`; that of the command line itself if not given.
        #[arg(long)]
        member: Option<ActorId>,
    },
    /// List the API keys of all members of a tenant.
    #[command(after_help = "Examples:
  callboard api-key list --tenant acme
  callboard api-key list --tenant acme --json")]
    List {
        /// Whose keys.
        #[command(flatten)]
        tenant: ForTenant,
    },
    /// Let an API key be good for nothing any more.
    #[command(after_help = "Examples:
  callboard api-key revoke usr_01981234567870008000000000000009 --tenant acme")]
    Revoke {
        /// Where it is good for something.
        #[command(flatten)]
        tenant: ForTenant,
        /// The key, by the `usr_…` that `callboard api-key list` shows.
        key: ActorId,
    },
}
