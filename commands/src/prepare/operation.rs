//! From an operation in the caller's words to what the owner decides.

use chrono::{DateTime, Utc};
use domain::Level;
use domain::id::{ActorId, CustomerId, SubjectId, TenantId};
use domain::operation::{Operation, UsageEntry};
use domain::personal::Personal;
use domain::principal::{Denied, Permission};
use domain::usage::{Candidate, Entry, Seen};
use domain::{customer, directory, location, member, meter, plan, role, subscription, tenant};
use vault::TenantKeys;

use super::{Ask, Content, Context, OpenCustomer, TermsSource, Usage, access, entities};
use crate::request::CommandError;

/// An operation in shape.
#[derive(Debug)]
pub(super) struct Shaped {
    pub(super) ask: Ask,
    pub(super) subjects: Vec<SubjectId>,
    pub(super) bytes: usize,
    /// Content that its events will name, each to be stored before.
    pub(super) large: Vec<String>,
}

impl From<Ask> for Shaped {
    fn from(ask: Ask) -> Self {
        Self { ask, subjects: Vec::new(), bytes: 0, large: Vec::new() }
    }
}

/// Turns names into streams and takes personal texts apart.
#[expect(clippy::too_many_lines, reason = "one arm per operation, each a line or two")]
pub(super) fn shape(
    context: &Context<'_>,
    keys: &TenantKeys,
    actor: ActorId,
    operation: Operation,
) -> Result<Shaped, CommandError> {
    Ok(match operation {
        Operation::RegisterTenant { tenant, slug, name, owner } => {
            Ask::RegisterTenant { tenant, slug, name, owner }.into()
        }
        Operation::ChangeSlug { tenant, slug } => {
            Ask::Directory(directory::Command::ChangeSlug { tenant, slug }).into()
        }
        Operation::AddHost { tenant, host } => {
            Ask::Directory(directory::Command::AddHost { tenant, host }).into()
        }
        Operation::RemoveHost { tenant, host } => {
            Ask::Directory(directory::Command::RemoveHost { tenant, host }).into()
        }
        Operation::SuspendTenant { tenant, reason } => {
            Ask::Directory(directory::Command::SuspendTenant { tenant, reason }).into()
        }
        Operation::ReactivateTenant { tenant } => {
            Ask::Directory(directory::Command::ReactivateTenant { tenant }).into()
        }
        Operation::RaiseClusterLevel { to } => {
            // The fact is looked up before it is decided; until then nobody speaks anything new.
            let spoken = Level::FIRST;
            Ask::Directory(directory::Command::RaiseLevel { to, spoken }).into()
        }
        Operation::RenameTenant { name } => Ask::Tenant(tenant::Command::Rename { name }).into(),
        Operation::ConfigureTenant { settings } => {
            Ask::Tenant(tenant::Command::Configure { settings }).into()
        }
        Operation::AddProvider { provider, described } => {
            let bytes = described.issuer.len() + described.client_id.len();
            let command = tenant::Command::AddProvider { provider, described };
            Shaped { bytes, ..Ask::Tenant(command).into() }
        }
        Operation::RemoveProvider { provider } => {
            Ask::Tenant(tenant::Command::RemoveProvider { provider }).into()
        }
        Operation::CloseTenant => Ask::Tenant(tenant::Command::Close).into(),
        Operation::AddMember { member, name, roles } => {
            access::add_member(keys, member, name, &roles)
        }
        Operation::ChangeMemberRoles { member, roles } => {
            let roles = access::references(keys, &roles);
            // The owner fills in the fact; until then nobody is left.
            let command = member::Command::ChangeRoles { roles, owners: 0 };
            Ask::Member { member, command }.into()
        }
        Operation::RemoveMember { member } => {
            Ask::Member { member, command: member::Command::Remove { owners: 0 } }.into()
        }
        Operation::IssueApiKey { key, asked } => access::issue_api_key(actor, key, asked)?,
        Operation::RevokeApiKey { member, key } => {
            let member = member.unwrap_or(actor);
            Ask::Member { member, command: member::Command::RevokeApiKey { key } }.into()
        }
        Operation::InviteMember { member, secret, lifetime } => {
            Ask::Member { member, command: member::Command::Invite { secret, lifetime, by: None } }
                .into()
        }
        Operation::SignIn { session, asked } => {
            let command = member::Command::SignIn { session, asked };
            Ask::Member { member: actor, command }.into()
        }
        Operation::ChangeCredential { term, change, provider } => {
            let command = member::Command::ChangeCredential { term, change, provider };
            Ask::Member { member: actor, command }.into()
        }
        Operation::ExportAudit { part } => Ask::ExportAudit(part).into(),
        Operation::SignOut { member, session } => {
            let member = member.unwrap_or(actor);
            Ask::Member { member, command: member::Command::SignOut { session } }.into()
        }
        Operation::DefineRole { role, permits } => access::define_role(keys, role, permits),
        Operation::ChangeRole { role, permits } => access::change_role(keys, &role, permits),
        Operation::RetireRole { role } => {
            let role = access::role_id(keys, &role);
            Ask::Role { role, command: role::Command::Retire }.into()
        }
        Operation::OpenCustomer { customer, role, name, contact, currency, time_zone } => {
            let (subject, name, contact) = personal(keys, customer, name, contact);
            let open = OpenCustomer { customer, role, name, contact, currency, time_zone };
            Shaped { subjects: vec![subject], ..Ask::OpenCustomer(Box::new(open)).into() }
        }
        Operation::ChangeCustomer { customer, name, contact } => {
            let (subject, name, contact) = personal(keys, customer, name, contact);
            let command = customer::Command::Change { name, contact };
            Shaped { subjects: vec![subject], ..Ask::ChangeCustomer { customer, command }.into() }
        }
        Operation::CloseCustomer { customer } => Ask::CloseCustomer(customer).into(),
        Operation::ApplyEntities { changes } => {
            let (kinds, within) = (context.kinds, context.within.clone());
            let condition = within.as_ref().map(|it| &*it.condition);
            let entities::Changes { changes, subjects, bytes, large, beyond } =
                entities::shape(keys, kinds, condition, changes).map_err(CommandError::Invalid)?;
            if beyond {
                return Err(Denied { permission: Permission::EntityWrite }.into());
            }
            let ask = Ask::Entities { kinds, changes, content: Content::Stored, within };
            Shaped { ask, subjects, bytes, large }
        }
        Operation::RegisterLocation { kind, target } => {
            let location = keys.location_id(kind.name(), &target);
            let bytes = target.len();
            let command = location::Command::Register { kind, target };
            Shaped { bytes, ..Ask::Location { location, command }.into() }
        }
        Operation::DeregisterLocation { location } => {
            let command = location::Command::Deregister;
            Ask::Location { location, command }.into()
        }
        Operation::PublishPlanVersion { plan, is_new: _, terms } => {
            let bytes = serde_json::to_vec(&terms).map_or(0, |it| it.len());
            let command = plan::Command::Publish { terms };
            Shaped { bytes, ..Ask::Plan { plan, command }.into() }
        }
        Operation::RetirePlan { plan } => Ask::Plan { plan, command: plan::Command::Retire }.into(),
        Operation::StartSubscription { subscription, customer, plan, version } => {
            let source = TermsSource::Own { plan, version };
            Ask::StartSubscription { subscription, customer, source }.into()
        }
        Operation::ChangePlan { subscription, plan, version } => {
            Ask::ChangePlan { subscription, source: TermsSource::Own { plan, version } }.into()
        }
        Operation::CancelSubscription { subscription, when } => {
            let command = subscription::Command::Cancel { when };
            Ask::Subscription { subscription, command }.into()
        }
        Operation::UndoCancellation { subscription } => {
            let command = subscription::Command::UndoCancellation;
            Ask::Subscription { subscription, command }.into()
        }
        Operation::DefineMeter { key, name, unit, aggregation } => {
            let meter = keys.meter_id(key.as_str());
            let definition = meter::Definition { key, name, unit, aggregation };
            Ask::Meter { meter, command: meter::Command::Define(definition) }.into()
        }
        Operation::ArchiveMeter { key } => {
            let meter = keys.meter_id(key.as_str());
            Ask::Meter { meter, command: meter::Command::Archive }.into()
        }
        Operation::RecordUsage { entries } => usage(context, keys, &entries),
    })
}

/// The personal texts of a billing account, still plain, and whom they are about.
fn personal(
    keys: &TenantKeys,
    customer: CustomerId,
    name: String,
    contact: Option<String>,
) -> (SubjectId, Personal, Option<Personal>) {
    let subject = keys.subject_id(&customer.to_string());
    let contact = contact.map(|it| keys.personal(subject, it));
    (subject, keys.personal(subject, name), contact)
}

fn usage(context: &Context<'_>, keys: &TenantKeys, entries: &[UsageEntry]) -> Shaped {
    let tenant = keys.tenant();
    let mut meters: Vec<(meter::MeterKey, _)> = Vec::new();
    let mut identities = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    let candidates = entries.iter().map(|reported| {
        if !meters.iter().any(|it| it.0 == reported.meter) {
            meters.push((reported.meter.clone(), keys.meter_id(reported.meter.as_str())));
        }
        let entry = entry(reported, tenant);
        let content = entry.content();
        bytes += ENTRY_BYTES + content.len() + entry.source.len() + entry.id.len();
        identities.push(context.fingerprinter.of(tenant, &entry.source, &entry.id, &content));
        // The owner fills in the facts; until then nothing would be accepted.
        let (meter, customer) = (meter::Standing::NotDefined, customer::Standing::NotOpened);
        Candidate { entry, seen: Seen::New, meter, customer }
    });
    let candidates = candidates.collect();
    let ask = Ask::Usage(Usage { candidates, identities, meters });
    Shaped { bytes, ..ask.into() }
}

/// What an entry takes in its event beside its texts. In bytes: 128.
const ENTRY_BYTES: usize = 128;

/// An entry as it will be recorded; the owner dates it where nobody said when.
fn entry(reported: &UsageEntry, tenant: TenantId) -> Entry {
    Entry::of(reported, tenant, DateTime::<Utc>::UNIX_EPOCH)
}
