//! What is wrong with the shape of an operation.

use std::collections::BTreeSet;

use super::{ENTITY_CHANGES_MAX, Operation, UsageEntry};
use crate::customer::Role;
use crate::id::ActorId;
use crate::member::Lifetime;
use crate::role::{self, RoleName};
use crate::usage::{self, ENTRIES_MAX};
use crate::violation::{Violation, Violations};
use crate::{member, meter, tenant};

/// The longest name of a billing account, in characters: 120, as for everything that has one.
pub const CUSTOMER_NAME_MAX: usize = 120;

/// The longest e-mail address, in characters: 254, as SMTP allows.
pub const CONTACT_MAX: usize = 254;

/// What is wrong with the shape of `operation`.
#[expect(clippy::too_many_lines, reason = "one arm per operation, each a line or two")]
pub(super) fn violations(operation: &Operation) -> Vec<Violation> {
    let mut violations = Violations::default();
    match operation {
        Operation::AddMember { member, name, roles } => {
            belongs("member", *member, &mut violations);
            name.iter().for_each(|it| violations.text("name", it, member::NAME_MAX));
            held(roles, &mut violations);
        }
        Operation::ChangeMemberRoles { roles, .. } => held(roles, &mut violations),
        Operation::IssueApiKey { asked, .. } => {
            member::note_api_key_violations(&asked.scope, &mut violations);
        }
        Operation::InviteMember { lifetime, .. } => {
            lifetime.note_violations(Lifetime::INVITE_MAX, &mut violations);
        }
        Operation::SignIn { asked, .. } => {
            member::note_sign_in_violations(asked, &mut violations);
        }
        Operation::DefineRole { role, permits } | Operation::ChangeRole { role, permits } => {
            role::note_violations(role, permits, &mut violations);
        }
        Operation::RetireRole { role } => role::note_name(role, &mut violations),
        Operation::OpenCustomer { role, name, contact, .. } => {
            if *role == Role::Itself {
                violations.note("role", "the tenant's own account is opened with the tenant");
            }
            account(name, contact.as_deref(), &mut violations);
        }
        Operation::ChangeCustomer { name, contact, .. } => {
            account(name, contact.as_deref(), &mut violations);
        }
        Operation::ApplyEntities { changes } => {
            violations.at_least_one("changes", changes.len());
            violations.at_most("changes", changes.len(), ENTITY_CHANGES_MAX);
        }
        Operation::PublishPlanVersion { terms, .. } => {
            violations.part("terms", terms.violations());
        }
        Operation::StartSubscription { version, .. } | Operation::ChangePlan { version, .. } => {
            if *version == Some(0) {
                violations.note("version", "versions count from 1, got 0");
            }
        }
        Operation::DefineMeter { name, unit, aggregation, .. } => {
            meter::violations(name, unit, aggregation, &mut violations);
        }
        Operation::RecordUsage { entries } => recorded(entries, &mut violations),
        Operation::AddProvider { described, .. } => {
            tenant::note_provider_violations(described, &mut violations);
        }
        Operation::AddHost { host, .. } => {
            if let Some(why) = host.unfit() {
                violations.note("host", why);
            }
        }
        Operation::RegisterTenant { owner, .. } => {
            owner.iter().for_each(|it| belongs("owner", *it, &mut violations));
        }
        Operation::ExportAudit { part } => part.note_violations(&mut violations),
        Operation::ChangeSlug { .. }
        | Operation::ChangeCredential { .. }
        | Operation::RemoveHost { .. }
        | Operation::SuspendTenant { .. }
        | Operation::ReactivateTenant { .. }
        | Operation::RaiseClusterLevel { .. }
        | Operation::RenameTenant { .. }
        | Operation::ConfigureTenant { .. }
        | Operation::RemoveProvider { .. }
        | Operation::CloseTenant
        | Operation::RemoveMember { .. }
        | Operation::RevokeApiKey { .. }
        | Operation::SignOut { .. }
        | Operation::CloseCustomer { .. }
        | Operation::RegisterLocation { .. }
        | Operation::DeregisterLocation { .. }
        | Operation::RetirePlan { .. }
        | Operation::CancelSubscription { .. }
        | Operation::UndoCancellation { .. }
        | Operation::ArchiveMeter { .. } => {}
    }
    violations.into_vec()
}

fn account(name: &str, contact: Option<&str>, violations: &mut Violations) {
    violations.text("name", name, CUSTOMER_NAME_MAX);
    let Some(contact) = contact else { return };
    violations.text("contact", contact, CONTACT_MAX);
    // Whether mail arrives is only known by sending some; this catches what cannot be meant.
    let is_address = contact.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !host.is_empty() && !host.contains('@') && !contact.contains(' ')
    });
    if !is_address {
        violations.note("contact", "expected an e-mail address like `billing@example.com`");
    }
}

fn belongs(field: &str, member: ActorId, violations: &mut Violations) {
    if member == ActorId::SYSTEM {
        violations.note(field, "Callboard itself is a member of nothing");
    }
}

fn held(roles: &BTreeSet<RoleName>, violations: &mut Violations) {
    violations.at_least_one("roles", roles.len());
    violations.at_most("roles", roles.len(), member::ROLES_MAX);
}

fn recorded(entries: &[UsageEntry], violations: &mut Violations) {
    violations.at_least_one("entries", entries.len());
    violations.at_most("entries", entries.len(), ENTRIES_MAX);
    for (place, entry) in entries.iter().enumerate().take(ENTRIES_MAX) {
        violations.part(&format!("entries[{place}]"), usage::validate(entry));
    }
}
