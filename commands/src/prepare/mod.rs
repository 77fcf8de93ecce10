//! What can be done about a request before its turn: on the caller's task, in parallel.
//!
//! Shapes are checked, descriptors parsed and split from their personal parts, names turned
//! into keyed digests and streams. The owner is left with looking up, deciding and encoding.
//! Nothing here depends on state, so nothing here can be stale; the one exception, which kinds
//! a catalog accepts, is verified by the owner.

mod access;
mod entities;
mod fingerprint;
mod operation;

use std::time::Duration;

use domain::catalog::KindSet;
use domain::customer::Role;
use domain::id::{
    ActorId, CommandId, CustomerId, EntityId, EventId, LocationId, MeterId, PlanId, RoleId,
    SubjectId, SubscriptionId, TenantId,
};
use domain::operation::{ExpectedRevision, Operation};
use domain::personal::Personal;
use domain::principal::{Means, Need, Principal};
use domain::quantity::Currency;
use domain::reaction::Reaction;
use domain::subscription::Sold;
use domain::violation::Violation;
use domain::{audit, customer, directory, entity, location, member, meter, plan, role};
use domain::{subscription, tenant, usage};
use uuid::Uuid;
use vault::port::KeyName;
use vault::{Keyring, KeyringError, SubjectKeys, TenantKeys};

use crate::away::Away;
use crate::idempotency::RequestHash;
use crate::identities::{Fingerprint, Fingerprinter};
use crate::request::{CommandError, Mode, Request};
use crate::timers::Timer;
use crate::within::Within;

/// What a request weighs beside its content. In bytes: 256, for names, ids and headers.
const OVERHEAD_BYTES: usize = 256;

/// How long a request waits for the keys of those whom it names. In seconds: 5, as long as others
/// are told to wait before they ask again.
const KEYS_TIME_MAX: Duration = Duration::from_secs(5);

/// The heaviest request: 4 MiB, so that a batch of it stays below what every log takes at once.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request that only needs the owner's state.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) tenant: TenantId,
    pub(crate) actor: ActorId,
    /// What must be permitted when it is decided, and to whom; nothing for Callboard itself.
    pub(crate) claim: Option<Claim>,
    pub(crate) command: CommandId,
    /// There if the request has an idempotency key.
    pub(crate) request: Option<RequestHash>,
    pub(crate) mode: Mode,
    pub(crate) expected: ExpectedRevision,
    pub(crate) correlation: Uuid,
    pub(crate) causation: Option<EventId>,
    pub(crate) traceparent: Option<String>,
    pub(crate) keys: TenantKeys,
    /// The durable keys of everybody whose personal texts its events will hold; none in a preview.
    pub(crate) subject_keys: Option<SubjectKeys>,
    pub(crate) ask: Ask,
    /// What it weighs in queues and batches.
    pub(crate) bytes: usize,
}

impl Prepared {
    /// Notes that its large content is not stored, so that nothing can come to name it.
    pub(crate) fn leave_content_out(&mut self) {
        if let Ask::Entities { content, .. } = &mut self.ask {
            *content = Content::LeftOut;
        }
    }
}

/// What whoever asks must have when it is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) need: Need,
    /// Whose roles must permit it.
    pub(crate) member: ActorId,
    /// By what they act, which must be good for it.
    pub(crate) means: Means,
}

impl Claim {
    fn of(principal: &Principal, need: Need) -> Option<Self> {
        Some(Self { need, member: principal.member_id()?, means: principal.means() })
    }
}

/// What the owner is asked to decide.
#[derive(Debug)]
pub(crate) enum Ask {
    RegisterTenant {
        tenant: TenantId,
        slug: directory::Slug,
        name: tenant::Name,
        owner: Option<ActorId>,
    },
    Directory(directory::Command),
    Tenant(tenant::Command),
    Member {
        member: ActorId,
        command: member::Command,
    },
    Role {
        role: RoleId,
        command: role::Command,
    },
    ExportAudit(audit::Part),
    OpenCustomer(Box<OpenCustomer>),
    ChangeCustomer {
        customer: CustomerId,
        command: customer::Command,
    },
    CloseCustomer(CustomerId),
    Entities {
        kinds: KindSet,
        changes: Vec<EntityChange>,
        content: Content,
        /// There if whoever asks may change some entities only.
        within: Option<Within>,
    },
    /// A request of no shape that these kinds allow: refused, unless it was decided before.
    Malformed {
        kinds: KindSet,
        violations: Vec<Violation>,
    },
    Location {
        location: LocationId,
        command: location::Command,
    },
    Plan {
        plan: PlanId,
        command: plan::Command,
    },
    StartSubscription {
        subscription: SubscriptionId,
        customer: CustomerId,
        source: TermsSource,
    },
    ChangePlan {
        subscription: SubscriptionId,
        source: TermsSource,
    },
    Subscription {
        subscription: SubscriptionId,
        command: subscription::Command,
    },
    Meter {
        meter: MeterId,
        command: meter::Command,
    },
    Usage(Usage),
    Timer(Timer),
    React(React),
    /// What a test makes of it.
    #[cfg(test)]
    Scripted(Scripted),
}

/// A decision written by a test.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Scripted(pub(crate) std::sync::Arc<Script>);

#[cfg(test)]
type Script = dyn Fn(&mut crate::handlers::Decision<'_, '_>) -> Result<(), crate::handlers::Refusal>
    + Send
    + Sync;

#[cfg(test)]
impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted(…)")
    }
}

/// A billing account to be opened; what is left out is taken from the tenant.
#[derive(Debug)]
pub(crate) struct OpenCustomer {
    pub(crate) customer: CustomerId,
    pub(crate) role: Role,
    pub(crate) name: Personal,
    pub(crate) contact: Option<Personal>,
    pub(crate) currency: Option<Currency>,
    pub(crate) time_zone: Option<chrono_tz::Tz>,
}

/// Where content is that is too large for the events of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the vault, if there is any.
    Stored,
    /// Not stored, since the tenant may not change anything as far as is known.
    LeftOut,
}

/// A change of one entity.
#[derive(Debug)]
pub(crate) struct EntityChange {
    pub(crate) entity: EntityId,
    /// What the caller calls it.
    pub(crate) reference: String,
    pub(crate) command: entity::Command,
    pub(crate) expected: ExpectedRevision,
}

/// Where the terms of a sale come from.
#[derive(Debug)]
pub(crate) enum TermsSource {
    /// The operator's catalogue, where they were looked up already: for the tenant itself.
    Operator(Box<Sold>),
    /// The tenant's own plans.
    Own { plan: PlanId, version: Option<u32> },
    /// The operator's catalogue has none. For the caller, unless its request was decided before:
    /// only the owner knows.
    Missing(NoTerms),
}

/// Why there are no terms to sell under.
#[derive(Clone, Debug)]
pub(crate) enum NoTerms {
    /// The plan is not sold.
    Rejected { code: &'static str, reason: String },
    /// The catalogue cannot be asked at present.
    Unavailable(Away),
}

impl From<NoTerms> for CommandError {
    fn from(missing: NoTerms) -> Self {
        match missing {
            NoTerms::Rejected { code, reason } => Self::Rejected { code: code.into(), reason },
            NoTerms::Unavailable(away) => Self::Unavailable(away),
        }
    }
}

/// Usage to be recorded.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) candidates: Vec<usage::Candidate>,
    /// The identity of each, in the same order.
    pub(crate) identities: Vec<Fingerprint>,
    /// The different meters among them.
    pub(crate) meters: Vec<(meter::MeterKey, MeterId)>,
}

/// What a reaction asks for on behalf of a source event.
#[derive(Debug)]
pub(crate) struct React {
    pub(crate) reaction: Reaction,
    pub(crate) source_tenant: TenantId,
    pub(crate) source_sequence: u64,
    pub(crate) effect: Effect,
}

/// The effect of a source event on its target tenant.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The tenant and its own billing account come to be.
    Create { tenant: tenant::Command, account: Box<OpenCustomer>, owner: Option<ActorId> },
    /// The tenant follows what operators want.
    Follow(tenant::Command),
    /// A closed tenant is closed in the directory.
    CloseInDirectory(TenantId),
    /// Entities that follow a location are deregistered; those hashed before `from` already are.
    RemoveFollowers { location: LocationId, from: u64 },
    /// What a closed tenant bought and sold is cancelled; what is hashed before `from` already is.
    EndSubscriptions { from: u64 },
}

/// What preparing needs beside the request.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) keyring: &'a Keyring,
    pub(crate) fingerprinter: &'a Fingerprinter,
    /// The kinds the tenant's catalog accepts, as far as known here.
    pub(crate) kinds: KindSet,
    /// There if whoever asks may change some entities only.
    pub(crate) within: Option<Within>,
}

/// Prepares what `principal` asks, and takes apart what has to be stored beside the log before
/// it is decided, under its tenant's `keys`. The permission was checked.
///
/// # Errors
///
/// [`CommandError::Invalid`] if it is malformed; else it is about the tenant's keys.
pub(crate) async fn prepare(
    context: &Context<'_>,
    principal: &Principal,
    mut request: Request,
    keys: TenantKeys,
) -> Result<(Box<Prepared>, Vec<String>), CommandError> {
    name_oneself(&mut request.operation, principal);
    let claim = Claim::of(principal, request.operation.need());
    let violations = request.operation.violations();
    if !violations.is_empty() {
        return Err(CommandError::Invalid(violations));
    }
    let tenant = principal.tenant();
    let (command, hash) = match &request.idempotency_key {
        None => (CommandId(Uuid::now_v7()), None),
        Some(key) => {
            let name = request.operation.name();
            let command = keys.command_id(principal.actor(), name, key.as_str());
            (command, Some(fingerprint::of(&keys, &request)))
        }
    };
    let operation::Shaped { ask, subjects, bytes, large } =
        match operation::shape(context, &keys, principal.actor(), request.operation) {
            // By what a catalog accepts as far as is known here: the request may have been decided
            // before, and this process may have stopped being the owner.
            Err(CommandError::Invalid(violations)) => {
                Ask::Malformed { kinds: context.kinds, violations }.into()
            }
            shaped => shaped?,
        };
    if bytes > REQUEST_BYTES_MAX {
        let message = format!("expected at most {REQUEST_BYTES_MAX} bytes in all, got {bytes}");
        return Err(CommandError::invalid("", message));
    }
    let subject_keys = match request.mode {
        Mode::Commit => take_keys(context.keyring, tenant, &subjects).await?,
        Mode::Preview => None,
    };
    let prepared = Box::new(Prepared {
        tenant,
        actor: principal.actor(),
        claim,
        command,
        request: hash,
        mode: request.mode,
        expected: request.expected,
        correlation: request.correlation.unwrap_or(command.0),
        causation: None,
        traceparent: request.traceparent.filter(|it| is_traceparent(it)),
        keys,
        subject_keys,
        ask,
        bytes: bytes + OVERHEAD_BYTES,
    });
    // Nothing that a preview decides is recorded.
    let is_named = prepared.mode == Mode::Commit;
    Ok((prepared, if is_named { large } else { Vec::new() }))
}

/// Prepares what Callboard asks of itself for the tenant of these `keys`.
pub(crate) async fn internal(
    keyring: &Keyring,
    keys: TenantKeys,
    command: CommandId,
    causation: Option<EventId>,
    ask: Ask,
) -> Result<Box<Prepared>, KeyringError> {
    let tenant = keys.tenant();
    let subject_keys = match &ask {
        Ask::React(React { effect: Effect::Create { account, .. }, .. }) => {
            Some(keyring.ensure_subjects(tenant, &[account.name.subject]).await?)
        }
        _ => None,
    };
    let correlation = causation.map_or(command.0, |it| it.0);
    let own = own(tenant, command, keys, ask);
    Ok(Box::new(Prepared { correlation, causation, subject_keys, ..*own }))
}

/// The same for what names nobody and has no cause outside of the tenant, with its keys.
pub(crate) fn own(
    tenant: TenantId,
    command: CommandId,
    keys: TenantKeys,
    ask: Ask,
) -> Box<Prepared> {
    Box::new(Prepared {
        tenant,
        actor: ActorId::SYSTEM,
        claim: None,
        command,
        request: None,
        mode: Mode::Commit,
        expected: ExpectedRevision::Any,
        correlation: command.0,
        causation: None,
        traceparent: None,
        keys,
        subject_keys: None,
        ask,
        bytes: OVERHEAD_BYTES,
    })
}

/// Takes the keys of these persons, and makes those that are missing: what they seal may be recorded
/// after. The owner never waits for the vault, or all its tenants would.
async fn take_keys(
    keyring: &Keyring,
    tenant: TenantId,
    subjects: &[SubjectId],
) -> Result<Option<SubjectKeys>, CommandError> {
    if subjects.is_empty() {
        return Ok(None);
    }
    let keys = keyring.ensure_subjects(tenant, subjects);
    in_time(keys, |it| keyring_error(&it)).await.map(Some)
}

/// What the keyring answers in [`KEYS_TIME_MAX`].
pub(crate) async fn in_time<T, E>(
    asking: impl Future<Output = Result<T, E>>,
    meaning: impl FnOnce(E) -> CommandError,
) -> Result<T, CommandError> {
    match tokio::time::timeout(KEYS_TIME_MAX, asking).await {
        Ok(answer) => answer.map_err(meaning),
        Err(_elapsed) => {
            tracing::error!("the vault gave no keys in time");
            Err(CommandError::Unavailable(Away::Vault))
        }
    }
}

/// Lets who registers a tenant be its first owner, unless somebody else is named.
fn name_oneself(operation: &mut Operation, principal: &Principal) {
    if let Operation::RegisterTenant { owner: owner @ None, .. } = operation {
        *owner = principal.member_id();
    }
}

/// What a fault of the keyring means to who asked.
pub(crate) fn keyring_error(error: &KeyringError) -> CommandError {
    match error {
        KeyringError::TenantErased(_) => {
            CommandError::Rejected { code: "TENANT_ERASED".into(), reason: error.to_string() }
        }
        // The operator was told when it was missed first.
        KeyringError::Damaged(KeyName::Tenant(_)) | KeyringError::Missing(_) => {
            CommandError::Unavailable(Away::Key)
        }
        KeyringError::WrongRoot
        | KeyringError::Damaged(_)
        | KeyringError::Seal(_)
        | KeyringError::Vault(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "the vault failed");
            CommandError::Unavailable(Away::Vault)
        }
    }
}

/// Whether a text is a W3C trace context of version 00; another one is not worth keeping.
fn is_traceparent(text: &str) -> bool {
    text.len() == 55 && text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
}
