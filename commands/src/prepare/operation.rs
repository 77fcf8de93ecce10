//! From an operation in the caller's words to what the owner decides.

use chrono::{DateTime, Utc};
use domain::id::{CustomerId, SubjectId, TenantId};
use domain::operation::{Operation, UsageEntry};
use domain::usage::{Candidate, Entry, Seen};
use domain::{customer, directory, location, meter, plan, subscription, tenant};
use vault::TenantKeys;

use super::{Ask, Context, OpenCustomer, TermsSource, Usage, entities};
use crate::request::CommandError;

/// An operation in shape.
#[derive(Debug)]
pub(super) struct Shaped {
    pub(super) ask: Ask,
    pub(super) subjects: Vec<SubjectId>,
    pub(super) bytes: usize,
}

impl From<Ask> for Shaped {
    fn from(ask: Ask) -> Self {
        Self { ask, subjects: Vec::new(), bytes: 0 }
    }
}

/// Turns names into streams and takes personal texts apart.
pub(super) fn shape(
    context: &Context<'_>,
    keys: &TenantKeys,
    operation: &Operation,
) -> Result<Shaped, CommandError> {
    Ok(match operation {
        Operation::RegisterTenant { .. }
        | Operation::ChangeSlug { .. }
        | Operation::AddHost { .. }
        | Operation::RemoveHost { .. }
        | Operation::SuspendTenant { .. }
        | Operation::ReactivateTenant { .. } => directory(operation).into(),
        Operation::RenameTenant { name } => {
            Ask::Tenant(tenant::Command::Rename { name: name.clone() }).into()
        }
        Operation::ConfigureTenant { settings } => {
            Ask::Tenant(tenant::Command::Configure { settings: settings.clone() }).into()
        }
        Operation::CloseTenant => Ask::Tenant(tenant::Command::Close).into(),
        Operation::OpenCustomer { .. }
        | Operation::ChangeCustomer { .. }
        | Operation::CloseCustomer { .. } => account(keys, operation),
        Operation::ApplyEntities { changes } => {
            let kinds = context.kinds;
            let entities::Changes { changes, subjects, bytes } =
                entities::shape(keys, kinds, changes).map_err(CommandError::Invalid)?;
            Shaped { ask: Ask::Entities { kinds, changes }, subjects, bytes }
        }
        Operation::RegisterLocation { kind, target } => {
            let location = keys.location_id(kind.name(), target);
            let command = location::Command::Register { kind: *kind, target: target.clone() };
            Shaped { bytes: target.len(), ..Ask::Location { location, command }.into() }
        }
        Operation::DeregisterLocation { location } => {
            let command = location::Command::Deregister;
            Ask::Location { location: *location, command }.into()
        }
        Operation::PublishPlanVersion { plan, terms } => {
            let bytes = serde_json::to_vec(terms).map_or(0, |it| it.len());
            let command = plan::Command::Publish { terms: terms.clone() };
            Shaped { bytes, ..Ask::Plan { plan: *plan, command }.into() }
        }
        Operation::RetirePlan { plan } => {
            Ask::Plan { plan: *plan, command: plan::Command::Retire }.into()
        }
        Operation::StartSubscription { .. }
        | Operation::ChangePlan { .. }
        | Operation::CancelSubscription { .. }
        | Operation::UndoCancellation { .. } => subscription(operation).into(),
        Operation::DefineMeter { key, name, unit, aggregation } => {
            let meter = keys.meter_id(key.as_str());
            let (key, name, unit) = (key.clone(), name.clone(), unit.clone());
            let aggregation = aggregation.clone();
            let definition = meter::Definition { key, name, unit, aggregation };
            Ask::Meter { meter, command: meter::Command::Define(definition) }.into()
        }
        Operation::ArchiveMeter { key } => {
            let meter = keys.meter_id(key.as_str());
            Ask::Meter { meter, command: meter::Command::Archive }.into()
        }
        Operation::RecordUsage { entries } => usage(context, keys, entries),
    })
}

fn directory(operation: &Operation) -> Ask {
    use directory::Command;

    Ask::Directory(match operation.clone() {
        Operation::RegisterTenant { tenant, slug, name } => {
            return Ask::RegisterTenant { tenant, slug, name };
        }
        Operation::ChangeSlug { tenant, slug } => Command::ChangeSlug { tenant, slug },
        Operation::AddHost { tenant, host } => Command::AddHost { tenant, host },
        Operation::RemoveHost { tenant, host } => Command::RemoveHost { tenant, host },
        Operation::SuspendTenant { tenant, reason } => Command::SuspendTenant { tenant, reason },
        Operation::ReactivateTenant { tenant } => Command::ReactivateTenant { tenant },
        _ => unreachable!("only called for the directory's operations"),
    })
}

fn account(keys: &TenantKeys, operation: &Operation) -> Shaped {
    let personal = |customer: CustomerId, name: &str, contact: Option<&str>| {
        let subject = keys.subject_id(&customer.to_string());
        let contact = contact.map(|it| keys.personal(subject, it));
        (subject, keys.personal(subject, name), contact)
    };
    match operation {
        Operation::OpenCustomer { customer, role, name, contact, currency, time_zone } => {
            let (subject, name, contact) = personal(*customer, name, contact.as_deref());
            let ask = Ask::OpenCustomer(Box::new(OpenCustomer {
                customer: *customer,
                role: *role,
                name,
                contact,
                currency: *currency,
                time_zone: *time_zone,
            }));
            Shaped { subjects: vec![subject], ..ask.into() }
        }
        Operation::ChangeCustomer { customer, name, contact } => {
            let (subject, name, contact) = personal(*customer, name, contact.as_deref());
            let command = customer::Command::Change { name, contact };
            let ask = Ask::ChangeCustomer { customer: *customer, command };
            Shaped { subjects: vec![subject], ..ask.into() }
        }
        Operation::CloseCustomer { customer } => Ask::CloseCustomer(*customer).into(),
        _ => unreachable!("only called for the operations of billing accounts"),
    }
}

fn subscription(operation: &Operation) -> Ask {
    use subscription::Command;

    match *operation {
        Operation::StartSubscription { subscription, customer, plan, version } => {
            let source = TermsSource::Own { plan, version };
            Ask::StartSubscription { subscription, customer, source }
        }
        Operation::ChangePlan { subscription, plan, version } => {
            Ask::ChangePlan { subscription, source: TermsSource::Own { plan, version } }
        }
        Operation::CancelSubscription { subscription, when } => {
            Ask::Subscription { subscription, command: Command::Cancel { when } }
        }
        Operation::UndoCancellation { subscription } => {
            Ask::Subscription { subscription, command: Command::UndoCancellation }
        }
        _ => unreachable!("only called for the operations of subscriptions"),
    }
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
