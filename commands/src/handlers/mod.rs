//! From what is asked to commands of aggregates, with the facts they need.
//!
//! Facts come from the same overlay in the same instant, so a decision about several streams is
//! as consistent as one about a single stream. All of a request happens or none of it.

mod access;
mod accounts;
mod directory;
mod entities;
mod reactions;
mod subscriptions;
mod tenants;
mod usage;

use chrono::{DateTime, Utc};
use domain::customer::Customer;
use domain::id::TenantId;
use domain::location::Location;
use domain::meter::Meter;
use domain::operation::ExpectedRevision;
use domain::plan::Plan;
use domain::subscription::Subscription;
use domain::tenant::{Standing, Tenant};
use domain::usage::Verdict;
use domain::{Event, Stream};
use domain::{audit, request};
use vault::{SealError, SubjectKeys};

use crate::away::Away;
use crate::identities::{Fingerprint, Identities, IdentitiesError, Pending};
use crate::prepare::{Ask, Prepared};
use crate::request::CommandError;
use crate::state::{Kept, Overlay};
pub(crate) use access::authorize;

/// Something that happened in a request, in order.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) stream: Stream,
    pub(crate) revision: u64,
    pub(crate) event: Event,
}

/// What surrounds a decision.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) now: DateTime<Utc>,
    /// How many partitions a new tenant can be placed in.
    pub(crate) partitions: u32,
    /// The keys of everybody whose personal texts the request holds; none in a preview.
    pub(crate) subject_keys: Option<&'a SubjectKeys>,
    pub(crate) identities: &'a Identities,
    /// Usage identities accepted earlier in the batch.
    pub(crate) pending: &'a Pending,
    #[cfg(test)]
    pub(crate) sabotage: Option<crate::settings::Sabotage>,
}

/// A request being decided: what it changes so far, over the overlay of its batch.
#[derive(Debug)]
pub(crate) struct Decision<'d, 's> {
    pub(crate) overlay: &'d mut Overlay<'s>,
    pub(crate) around: &'d Surroundings<'d>,
    pub(crate) tenant: TenantId,
    pub(crate) happened: Vec<Happened>,
    pub(crate) verdicts: Vec<Verdict>,
    /// Usage identities it accepted.
    pub(crate) accepted: Vec<Fingerprint>,
    /// Where the scan for followers of a location goes on, if it is not finished.
    pub(crate) resume: Option<u64>,
}

/// Why a request was not decided as asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The caller is told.
    Caller(CommandError),
    /// It was prepared under settings of the tenant that have changed.
    Stale,
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self::Caller(error)
    }
}

impl From<SealError> for Refusal {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Erased(_) => rejected("SUBJECT_ERASED", &error),
            SealError::NoKey(_) | SealError::Forged(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot seal");
                Self::Caller(CommandError::Unavailable(Away::Vault))
            }
        }
    }
}

impl From<IdentitiesError> for Refusal {
    fn from(error: IdentitiesError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the identity index failed");
        Self::Caller(CommandError::Unavailable(Away::Identities))
    }
}

/// A refusal by the rules.
pub(crate) fn rejected(code: &'static str, reason: &dyn std::fmt::Display) -> Refusal {
    Refusal::Caller(CommandError::Rejected { code: code.into(), reason: reason.to_string() })
}

impl<'d, 's> Decision<'d, 's> {
    pub(crate) fn new(
        overlay: &'d mut Overlay<'s>,
        around: &'d Surroundings<'d>,
        tenant: TenantId,
    ) -> Self {
        Self {
            overlay,
            around,
            tenant,
            happened: Vec::new(),
            verdicts: Vec::new(),
            accepted: Vec::new(),
            resume: None,
        }
    }

    /// Decides a whole request of somebody who is [authorized](authorize).
    pub(crate) fn request(&mut self, prepared: &mut Prepared) -> Result<(), Refusal> {
        let expected = prepared.expected;
        let grantor = prepared.claim;
        match &mut prepared.ask {
            Ask::RegisterTenant { tenant, slug, name, owner } => {
                self.register_tenant(*tenant, slug, name, *owner, expected)
            }
            Ask::Directory(command) => self.directory(command, expected),
            Ask::Tenant(command) => self.change_tenant(command, expected),
            Ask::Member { member, command } => {
                self.change_member(*member, command, grantor, expected)
            }
            Ask::Role { role, command } => self.change_role(*role, command, grantor, expected),
            Ask::ExportAudit(part) => self.export_audit(part),
            Ask::Timer(timer) => self.timer(timer),
            Ask::React(react) => self.react(react),
            Ask::OpenCustomer(open) => {
                self.active()?;
                self.open_customer(open, expected)
            }
            Ask::ChangeCustomer { customer, command } => {
                self.active()?;
                self.expect(&Stream::Customer(*customer), expected, customer)?;
                self.decide::<Customer>(*customer, command)
            }
            Ask::CloseCustomer(customer) => {
                self.active()?;
                self.close_customer(*customer, expected)
            }
            Ask::Entities { kinds, changes, content, within } => {
                self.entities(*kinds, changes, *content, grantor, within.as_ref())
            }
            Ask::Malformed { kinds, violations } => self.malformed(*kinds, violations),
            Ask::Location { location, command } => {
                self.active()?;
                self.expect(&Stream::Location(*location), expected, location)?;
                self.decide::<Location>(*location, command)
            }
            Ask::Plan { plan, command } => {
                self.active()?;
                self.expect(&Stream::Plan(*plan), expected, plan)?;
                self.decide::<Plan>(*plan, command)
            }
            Ask::StartSubscription { subscription, customer, source } => {
                self.active()?;
                self.expect(&Stream::Subscription(*subscription), expected, subscription)?;
                self.start_subscription(*subscription, *customer, source)
            }
            Ask::ChangePlan { subscription, source } => {
                self.active()?;
                self.expect(&Stream::Subscription(*subscription), expected, subscription)?;
                self.change_plan(*subscription, source)
            }
            Ask::Subscription { subscription, command } => {
                self.active()?;
                self.expect(&Stream::Subscription(*subscription), expected, subscription)?;
                self.decide::<Subscription>(*subscription, command)
            }
            Ask::Meter { meter, command } => {
                self.active()?;
                self.expect(&Stream::Meter(*meter), expected, meter)?;
                self.decide::<Meter>(*meter, command)
            }
            Ask::Usage(usage) => {
                self.active()?;
                self.usage(usage)
            }
            #[cfg(test)]
            Ask::Scripted(script) => (script.0)(self),
        }
    }

    /// Asks one aggregate, and takes what happens into the overlay. Personal texts are sealed
    /// before anything else sees them.
    pub(crate) fn decide<A: Kept>(
        &mut self,
        id: A::Id,
        command: &A::Command,
    ) -> Result<(), Refusal> {
        let now = self.around.now;
        let decided = match self.overlay.aggregate::<A>(self.tenant, id) {
            Some(state) => state.decide(command, now),
            None => A::default().decide(command, now),
        };
        let events = decided.map_err(|it| rejected(A::code(&it), &it))?;
        for event in events {
            self.happen(A::stream(id), A::event(event))?;
        }
        Ok(())
    }

    /// Takes one event into the overlay.
    pub(crate) fn happen(&mut self, stream: Stream, mut event: Event) -> Result<(), Refusal> {
        if let Some(keys) = self.around.subject_keys {
            for personal in event.personal_mut() {
                keys.seal(personal)?;
            }
        }
        let revision = self.overlay.evolve(self.tenant, stream, &event);
        self.happened.push(Happened { stream, revision, event });
        Ok(())
    }

    /// Takes in that somebody is given a part of the trail.
    fn export_audit(&mut self, part: &audit::Part) -> Result<(), Refusal> {
        self.active()?;
        let exported = audit::Event::Exported { part: part.clone() };
        self.happen(Stream::Audit, Event::Audit(exported))
    }

    /// Takes in that the request changed nothing, and with what verdicts.
    pub(crate) fn note(&mut self) -> Result<(), Refusal> {
        let noted = request::Event::noted(&self.verdicts);
        self.happen(Stream::Requests, Event::Request(noted))
    }

    /// Fails unless the tenant may change things. The system tenant is never created: it is.
    pub(crate) fn active(&self) -> Result<(), Refusal> {
        if self.tenant == TenantId::SYSTEM {
            return Ok(());
        }
        let state = self.overlay.aggregate::<Tenant>(self.tenant, self.tenant);
        let (code, reason) = match state.map_or(Standing::NotCreated, Tenant::standing) {
            Standing::Active => return Ok(()),
            Standing::NotCreated => ("TENANT_NOT_FOUND", "the tenant does not exist"),
            Standing::Suspended => ("TENANT_SUSPENDED", "the tenant is suspended"),
            Standing::Closed => ("TENANT_CLOSED", "the tenant is closed"),
        };
        Err(rejected(code, &reason))
    }

    /// Fails unless the stream is as the caller expects. `subject` names it in their words.
    pub(crate) fn expect(
        &self,
        stream: &Stream,
        expected: ExpectedRevision,
        subject: &dyn std::fmt::Display,
    ) -> Result<(), Refusal> {
        if expected == ExpectedRevision::Any {
            return Ok(());
        }
        let slot = self.overlay.slot(self.tenant, stream);
        let revision = slot.map_or(0, |it| it.revision);
        let is_there = revision > 0 && slot.is_some_and(|it| !it.held.has_ended());
        let holds = match expected {
            ExpectedRevision::Any => true,
            ExpectedRevision::Exists => is_there,
            ExpectedRevision::None => !is_there,
            ExpectedRevision::Exact(asked) => revision == asked && revision > 0,
        };
        if holds {
            return Ok(());
        }
        let actual = if is_there { revision } else { 0 };
        Err(Refusal::Caller(CommandError::Conflict {
            subject: subject.to_string(),
            expected,
            actual,
        }))
    }
}
