//! Who may do what in a tenant of the demo: a member of each of several roles, one of which is the
//! tenant's own and reaches some entities only, and a key for a machine that nobody can use.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{Days, NaiveDate, NaiveTime};
use domain::id::ActorId;
use domain::member::ApiKey;
use domain::operation::Operation;
use domain::personal::Digest;
use domain::principal::{Permission, Predicate};
use domain::role::{Permit, RoleName};

use super::organisation;
use super::random::Random;

/// The tenant's own role.
const OWN_ROLE: &str = "contractor";

/// The roles of the members, one each.
const ROLES: [&str; 6] = ["admin", "maintainer", "developer", "billing", "auditor", OWN_ROLE];

/// Whose key the machine has: the second, who keeps the catalog in order.
const KEEPER: usize = 1;

/// For how long the key is good. In days: 180.
const KEY_DAYS: Days = Days::new(180);

/// Members of a tenant, and the key that one of them issues.
pub(super) struct Members {
    /// The role of the tenant and all members.
    pub operations: Vec<Operation>,
    /// Who issues a key, and which.
    pub key: (ActorId, Operation),
}

/// Makes those of the tenant with this slug, on `today`.
pub(super) fn members(slug: &str, today: NaiveDate, random: &mut Random) -> Members {
    let mut operations = vec![own_role(slug)];
    let ids: Vec<_> = ROLES.iter().map(|_| ActorId(random.uuid())).collect();
    operations.extend(ids.iter().zip(ROLES).map(|(member, role)| Operation::AddMember {
        member: *member,
        name: Some(organisation::person(random)),
        roles: BTreeSet::from([role_name(role)]),
    }));
    let asked = ApiKey {
        name: "catalog-sync".parse().expect("it is a name"),
        scope: vec![Permission::EntityWrite, Permission::LocationWrite],
        // The digest of no key, so nobody has one that fits.
        secret: Digest(*random.uuid().as_bytes()),
        expires_at: (today + KEY_DAYS).and_time(NaiveTime::MIN).and_utc(),
    };
    let key = (ids[KEEPER], Operation::IssueApiKey { key: ActorId(random.uuid()), asked });
    Members { operations, key }
}

/// Whoever has it sees what one team owns, and what is written in Rust.
fn own_role(slug: &str) -> Operation {
    let team = format!("group:default/{}-team", organisation::systems(slug)[0]);
    let some = Predicate::Any(vec![Predicate::OwnedBy(team), Predicate::Tag("rust".to_owned())]);
    let permits = vec![
        Permit { permission: Permission::TenantRead, condition: None },
        Permit { permission: Permission::EntityRead, condition: Some(Arc::new(some)) },
    ];
    Operation::DefineRole { role: role_name(OWN_ROLE), permits }
}

fn role_name(name: &str) -> RoleName {
    name.parse().expect("it is the name of a role")
}
