//! Everything a caller can ask for. One operation is one mutation of the API.
//!
//! An operation says what is wanted in the caller's words (references, keys, plain text). The
//! write side turns it into commands of aggregates, adding identities, digests and facts.
//!
//! Processes pass operations on to one another as JSON and never store them. Two versions of
//! Callboard may talk to each other, so a field is added with a default, and nothing is renamed.

mod need;
mod shape;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::shape::{CONTACT_MAX, CUSTOMER_NAME_MAX};
use crate::audit::Part;
use crate::customer::Role;
use crate::directory::{Host, Slug};
use crate::id::{
    ActorId, CustomerId, LocationId, PlanId, ProviderId, SessionId, SubscriptionId, TenantId,
};
use crate::level::Level;
use crate::location::LocationKind;
use crate::member::{ApiKey, CredentialChange, Lifetime, SignIn, Term};
use crate::meter::{Aggregation, MeterKey};
use crate::personal::Digest;
use crate::plan::Terms;
use crate::quantity::{Currency, Quantity};
use crate::role::{Permit, RoleName};
use crate::tenant::{Name, Provider, Settings, SuspensionReason};
use crate::violation::Violation;

/// The most entity changes one [`Operation::ApplyEntities`] may hold: 500, so that it stays one
/// atomic batch on every log.
pub const ENTITY_CHANGES_MAX: usize = 500;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Operation {
    /// Reserve a slug and create a tenant. For operators.
    RegisterTenant {
        /// The new tenant's identity, drawn by the caller's side.
        tenant: TenantId,
        /// Its slug.
        slug: Slug,
        /// Its display name.
        name: Name,
        /// Its first owner; who registers it if none.
        #[serde(default)]
        owner: Option<ActorId>,
    },
    /// Give a tenant another slug. For operators.
    ChangeSlug {
        /// The tenant.
        tenant: TenantId,
        /// Its new slug.
        slug: Slug,
    },
    /// Let a host name select a tenant. For operators.
    AddHost {
        /// The tenant.
        tenant: TenantId,
        /// The host.
        host: Host,
    },
    /// Stop a host name from selecting a tenant. For operators.
    RemoveHost {
        /// The tenant.
        tenant: TenantId,
        /// The host.
        host: Host,
    },
    /// Suspend a tenant. For operators.
    SuspendTenant {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        reason: SuspensionReason,
    },
    /// Reactivate a tenant. For operators.
    ReactivateTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// Let events be written as of the next level of the cluster. For operators.
    RaiseClusterLevel {
        /// That level.
        to: Level,
    },
    /// Give one's own tenant another display name.
    RenameTenant {
        /// The new name.
        name: Name,
    },
    /// Replace one's own tenant's settings.
    ConfigureTenant {
        /// All settings.
        settings: Settings,
    },
    /// Let one more system say who the members of one's own tenant are.
    AddProvider {
        /// Its identity, drawn by the caller's side.
        provider: ProviderId,
        /// What it is.
        described: Provider,
    },
    /// Let what a system says of the members of one's own tenant count for nothing any more.
    RemoveProvider {
        /// Which.
        provider: ProviderId,
    },
    /// Close one's own tenant.
    CloseTenant,
    /// Let somebody belong to one's own tenant.
    AddMember {
        /// Who.
        member: ActorId,
        /// What they are called.
        name: Option<String>,
        /// The roles they have.
        roles: BTreeSet<RoleName>,
    },
    /// Give a member other roles.
    ChangeMemberRoles {
        /// Who.
        member: ActorId,
        /// All roles they have from now on.
        roles: BTreeSet<RoleName>,
    },
    /// Let somebody belong to one's own tenant no longer.
    RemoveMember {
        /// Who.
        member: ActorId,
    },
    /// Let a machine do a part of what one may oneself.
    IssueApiKey {
        /// The actor that the key will be, drawn by the caller's side.
        key: ActorId,
        /// What it is called, what it is for and until when.
        asked: ApiKey,
    },
    /// Let an API key be good for nothing any more.
    RevokeApiKey {
        /// Whose it is; one's own if none.
        member: Option<ActorId>,
        /// The actor that it is.
        key: ActorId,
    },
    /// Let whoever has a text say how a member signs in.
    InviteMember {
        /// Who.
        member: ActorId,
        /// The keyed digest of the text, which is drawn by the caller's side.
        secret: Digest,
        /// For how long.
        lifetime: Lifetime,
    },
    /// Begin a session of one's own, having proved who one is.
    SignIn {
        /// Its identity, drawn by the caller's side.
        session: SessionId,
        /// How that was proved, and for how long it is good.
        asked: SignIn,
    },
    /// End a session.
    SignOut {
        /// Whose; one's own if none.
        member: Option<ActorId>,
        /// Which; every one if none.
        session: Option<SessionId>,
    },
    /// Note that one proves from now on otherwise who one is, having proved it so far.
    ChangeCredential {
        /// For which time one must be a member.
        term: Term,
        /// How it differs.
        change: CredentialChange,
        /// By which provider, if it is about one.
        #[serde(default)]
        provider: Option<ProviderId>,
    },
    /// Take away a part of the audit trail.
    ExportAudit {
        /// Which.
        part: Part,
    },
    /// Define a role of one's own tenant.
    DefineRole {
        /// What it is called.
        role: RoleName,
        /// What it permits.
        permits: Vec<Permit>,
    },
    /// Let a role permit something else.
    ChangeRole {
        /// Which.
        role: RoleName,
        /// All that it permits from now on.
        permits: Vec<Permit>,
    },
    /// Let a role permit nothing any more.
    RetireRole {
        /// Which.
        role: RoleName,
    },
    /// Open a billing account.
    OpenCustomer {
        /// Its identity, drawn by the caller's side.
        customer: CustomerId,
        /// What it is to the tenant; not [`Role::Itself`].
        role: Role,
        /// What it is called.
        name: String,
        /// An e-mail address for invoices.
        contact: Option<String>,
        /// The currency it is billed in; the tenant's if none.
        currency: Option<Currency>,
        /// The zone of its billing periods; the tenant's if none.
        time_zone: Option<chrono_tz::Tz>,
    },
    /// Change a billing account's name and contact.
    ChangeCustomer {
        /// Which.
        customer: CustomerId,
        /// The name from now on.
        name: String,
        /// The contact from now on.
        contact: Option<String>,
    },
    /// Close a billing account.
    CloseCustomer {
        /// Which.
        customer: CustomerId,
    },
    /// Change entities, all or none. A single change is one of these with one element.
    ApplyEntities {
        /// At most [`ENTITY_CHANGES_MAX`], each of another entity.
        changes: Vec<EntityChange>,
    },
    /// Make a location known.
    RegisterLocation {
        /// How its target is read.
        kind: LocationKind,
        /// Its target.
        target: String,
    },
    /// Forget a location; its entities go with it.
    DeregisterLocation {
        /// Which.
        location: LocationId,
    },
    /// Publish the next version of a plan.
    PublishPlanVersion {
        /// The plan.
        plan: PlanId,
        /// Whether it is a new one, whose identity was drawn by the caller's side.
        #[serde(default)]
        is_new: bool,
        /// What the version says.
        terms: Terms,
    },
    /// Stop selling a plan.
    RetirePlan {
        /// Which.
        plan: PlanId,
    },
    /// Sell a plan to a customer.
    StartSubscription {
        /// The sale's identity, drawn by the caller's side.
        subscription: SubscriptionId,
        /// Who buys; the tenant itself buys from the operator's catalogue, others from the tenant's.
        customer: CustomerId,
        /// The plan.
        plan: PlanId,
        /// Its version; the newest if none.
        version: Option<u32>,
    },
    /// Move a subscription to another plan or version.
    ChangePlan {
        /// Which subscription.
        subscription: SubscriptionId,
        /// The plan.
        plan: PlanId,
        /// Its version; the newest if none.
        version: Option<u32>,
    },
    /// End a subscription.
    CancelSubscription {
        /// Which.
        subscription: SubscriptionId,
        /// When.
        when: CancelWhen,
    },
    /// Take back a cancellation that has not come about yet.
    UndoCancellation {
        /// Which.
        subscription: SubscriptionId,
    },
    /// Define something that can be counted.
    DefineMeter {
        /// Names it in usage and prices.
        key: MeterKey,
        /// What people call it.
        name: String,
        /// What one of it is called.
        unit: String,
        /// How records become one number.
        aggregation: Aggregation,
    },
    /// Stop counting something.
    ArchiveMeter {
        /// Which.
        key: MeterKey,
    },
    /// Record usage, entry by entry.
    RecordUsage {
        /// At most [`crate::usage::ENTRIES_MAX`].
        entries: Vec<UsageEntry>,
    },
}

/// One change of an [`Operation::ApplyEntities`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EntityChange {
    /// Register the entity, or update it if it is there.
    Put {
        /// The descriptor, in JSON, not yet validated.
        descriptor: serde_json::Value,
        /// The location it follows, if any.
        location: Option<LocationId>,
        /// What must be true of the entity for the change to be made.
        expected: ExpectedRevision,
    },
    /// Deregister the entity if it is there.
    Remove {
        /// Its reference, `kind:namespace/name`.
        reference: String,
        /// What must be true of the entity for the change to be made.
        expected: ExpectedRevision,
    },
}

/// What must be true of a stream for a command to be decided (optimistic concurrency).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExpectedRevision {
    /// Anything.
    #[default]
    Any,
    /// It has at least one event and, where the aggregate can end, has not ended.
    Exists,
    /// It has no events, or has ended.
    None,
    /// Its last event has this revision.
    Exact(u64),
}

/// When a cancelled subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CancelWhen {
    /// At once.
    Now,
    /// With the running period.
    PeriodEnd,
}

/// Usage as a caller reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageEntry {
    /// The system that observed it.
    pub source: String,
    /// Names it within the source.
    pub id: String,
    /// What was used.
    pub meter: MeterKey,
    /// Who used it; the tenant itself if none.
    pub customer: Option<CustomerId>,
    /// When it was used; when it was received if none.
    pub at: Option<DateTime<Utc>>,
    /// How much.
    pub value: Quantity,
    /// What it can be grouped by.
    pub dimensions: std::collections::BTreeMap<Box<str>, Box<str>>,
}

impl Operation {
    /// Its name in the API, as GraphQL spells mutations. It scopes idempotency keys, so none is ever
    /// changed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RegisterTenant { .. } => "registerTenant",
            Self::ChangeSlug { .. } => "changeSlug",
            Self::AddHost { .. } => "addHost",
            Self::RemoveHost { .. } => "removeHost",
            Self::SuspendTenant { .. } => "suspendTenant",
            Self::ReactivateTenant { .. } => "reactivateTenant",
            Self::RaiseClusterLevel { .. } => "raiseClusterLevel",
            Self::RenameTenant { .. } => "renameTenant",
            Self::ConfigureTenant { .. } => "configureTenant",
            Self::AddProvider { .. } => "addProvider",
            Self::RemoveProvider { .. } => "removeProvider",
            Self::CloseTenant => "closeTenant",
            Self::AddMember { .. } => "addMember",
            Self::ChangeMemberRoles { .. } => "changeMemberRoles",
            Self::RemoveMember { .. } => "removeMember",
            Self::IssueApiKey { .. } => "issueApiKey",
            Self::RevokeApiKey { .. } => "revokeApiKey",
            Self::InviteMember { .. } => "inviteMember",
            Self::ChangeCredential { .. } => "changeCredential",
            Self::ExportAudit { .. } => "exportAudit",
            Self::SignIn { .. } => "signIn",
            Self::SignOut { .. } => "signOut",
            Self::DefineRole { .. } => "defineRole",
            Self::ChangeRole { .. } => "changeRole",
            Self::RetireRole { .. } => "retireRole",
            Self::OpenCustomer { .. } => "openCustomer",
            Self::ChangeCustomer { .. } => "changeCustomer",
            Self::CloseCustomer { .. } => "closeCustomer",
            Self::ApplyEntities { .. } => "applyEntities",
            Self::RegisterLocation { .. } => "registerLocation",
            Self::DeregisterLocation { .. } => "deregisterLocation",
            Self::PublishPlanVersion { .. } => "publishPlanVersion",
            Self::RetirePlan { .. } => "retirePlan",
            Self::StartSubscription { .. } => "startSubscription",
            Self::ChangePlan { .. } => "changePlan",
            Self::CancelSubscription { .. } => "cancelSubscription",
            Self::UndoCancellation { .. } => "undoCancellation",
            Self::DefineMeter { .. } => "defineMeter",
            Self::ArchiveMeter { .. } => "archiveMeter",
            Self::RecordUsage { .. } => "recordUsage",
        }
    }

    /// What is wrong with its shape: lengths, counts, order. Descriptors and targets of locations
    /// are not looked at; the catalog and the location know their rules.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        shape::violations(self)
    }
}

#[cfg(test)]
mod tests;
