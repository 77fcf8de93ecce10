//! The installation's directory: which tenants exist, under which names, on which partition.
//!
//! A name is reserved here first; a reaction then creates the tenant in its own partition. The
//! [level](crate::level) of the cluster is recorded here too, since every process follows it. The
//! directory does *not* hold what belongs to a tenant.

mod name;
mod rejection;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rpds::RedBlackTreeMapSync;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::name::{Host, NameError, Slug};
pub use self::rejection::Rejection;
use crate::aggregate::Aggregate;
use crate::id::{ActorId, TenantId};
use crate::level::Level;
use crate::tenant::{Name, SuspensionReason};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// A tenant was given its slug and its partition.
    #[serde(rename = "directory.tenant-registered.v1")]
    TenantRegistered {
        /// The new tenant.
        tenant: TenantId,
        /// Its first slug.
        slug: Slug,
        /// Its display name.
        name: Name,
        /// The partition that holds it.
        partition: u32,
        /// Its first owner, if one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<ActorId>,
        /// When.
        at: DateTime<Utc>,
    },
    /// A tenant goes by another slug; the old one stays taken for ever.
    #[serde(rename = "directory.slug-changed.v1")]
    SlugChanged {
        /// The tenant.
        tenant: TenantId,
        /// Its new slug.
        slug: Slug,
    },
    /// A host name now selects a tenant.
    #[serde(rename = "directory.host-added.v1")]
    HostAdded {
        /// The tenant.
        tenant: TenantId,
        /// The host.
        host: Host,
    },
    /// A host name no longer selects a tenant.
    #[serde(rename = "directory.host-removed.v1")]
    HostRemoved {
        /// The tenant.
        tenant: TenantId,
        /// The host.
        host: Host,
    },
    /// An operator wants a tenant suspended; a reaction carries it to the tenant.
    #[serde(rename = "directory.tenant-suspended.v1")]
    TenantSuspended {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        reason: SuspensionReason,
    },
    /// An operator wants a tenant active again; a reaction carries it to the tenant.
    #[serde(rename = "directory.tenant-reactivated.v1")]
    TenantReactivated {
        /// The tenant.
        tenant: TenantId,
    },
    /// A tenant was closed; its names stay taken.
    #[serde(rename = "directory.tenant-closed.v1")]
    TenantClosed {
        /// The tenant.
        tenant: TenantId,
    },
    /// From now on events may be written as of this level.
    #[serde(rename = "directory.level-raised.v1")]
    LevelRaised {
        /// The level.
        to: Level,
        /// When.
        at: DateTime<Utc>,
    },
}

/// The most hosts one tenant may have: 20, more than brands and regions of one organisation need.
pub const HOSTS_MAX: u16 = 20;

/// What is true now. Cloning it costs the same however many tenants there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    tenants: RedBlackTreeMapSync<TenantId, Entry>,
    /// Every slug ever given, present and former ones.
    slugs: RedBlackTreeMapSync<Slug, TenantId>,
    hosts: RedBlackTreeMapSync<Host, TenantId>,
    /// How many tenants that are not closed each partition holds.
    loads: BTreeMap<u32, u64>,
    /// The level that is recorded, if one is.
    level: Option<Level>,
}

/// What the directory knows of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slug it goes by.
    pub slug: Slug,
    /// The display name it was registered with; the tenant knows the present one.
    pub name: Name,
    /// The partition that holds it.
    pub partition: u32,
    /// How many hosts select it.
    pub hosts: u16,
    /// What operators want it to be.
    pub standing: Standing,
}

/// What operators want a tenant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may do anything.
    Active,
    /// It may read but change nothing.
    Suspended(SuspensionReason),
    /// It is closed for good.
    Closed,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Reserve a slug and a place for a new tenant.
    RegisterTenant {
        /// The new tenant.
        tenant: TenantId,
        /// Its first slug.
        slug: Slug,
        /// Its display name.
        name: Name,
        /// Fact: the partition that shall hold it, from [`Directory::least_loaded`].
        partition: u32,
        /// Its first owner.
        owner: Option<ActorId>,
    },
    /// Let a tenant go by another slug.
    ChangeSlug {
        /// The tenant.
        tenant: TenantId,
        /// A slug nobody else ever had. A tenant may go back to one of its own.
        slug: Slug,
    },
    /// Let a host name select a tenant.
    AddHost {
        /// The tenant.
        tenant: TenantId,
        /// The host.
        host: Host,
    },
    /// Stop a host name from selecting a tenant; anybody may then have it.
    RemoveHost {
        /// The tenant.
        tenant: TenantId,
        /// The host.
        host: Host,
    },
    /// Want a tenant suspended.
    SuspendTenant {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        reason: SuspensionReason,
    },
    /// Want a tenant active again.
    ReactivateTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// Close a tenant for good.
    CloseTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// Let events be written as of the next level.
    RaiseLevel {
        /// That level.
        to: Level,
        /// Fact: the highest level that all processes speak which run.
        spoken: Level,
    },
}

impl Directory {
    /// What is known of `tenant`.
    #[must_use]
    pub fn entry(&self, tenant: TenantId) -> Option<&Entry> {
        self.tenants.get(&tenant)
    }

    /// Every tenant, in order of identity.
    pub fn entries(&self) -> impl Iterator<Item = (TenantId, &Entry)> {
        self.tenants.iter().map(|(tenant, entry)| (*tenant, entry))
    }

    /// Every slug ever given, and to whom.
    pub fn slugs(&self) -> impl Iterator<Item = (&Slug, TenantId)> {
        self.slugs.iter().map(|(slug, tenant)| (slug, *tenant))
    }

    /// Every host, and whom it selects.
    pub fn hosts(&self) -> impl Iterator<Item = (&Host, TenantId)> {
        self.hosts.iter().map(|(host, tenant)| (host, *tenant))
    }

    /// The level that is recorded, if one is.
    #[must_use]
    pub fn recorded_level(&self) -> Option<Level> {
        self.level
    }

    /// The level that events are written as of.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level.unwrap_or(Level::FIRST)
    }

    /// The directory of which [`Self::recorded_level`], [`Self::entries`], [`Self::slugs`] and
    /// [`Self::hosts`] are these, from a snapshot.
    #[must_use]
    pub fn from_parts(
        level: Option<Level>,
        entries: impl IntoIterator<Item = (TenantId, Entry)>,
        slugs: impl IntoIterator<Item = (Slug, TenantId)>,
        hosts: impl IntoIterator<Item = (Host, TenantId)>,
    ) -> Self {
        let mut loads = BTreeMap::new();
        let mut tenants = RedBlackTreeMapSync::default();
        for (tenant, entry) in entries {
            if entry.standing != Standing::Closed {
                *loads.entry(entry.partition).or_default() += 1;
            }
            tenants.insert_mut(tenant, entry);
        }
        let (slugs, hosts) = (slugs.into_iter().collect(), hosts.into_iter().collect());
        Self { tenants, slugs, hosts, loads, level }
    }

    /// The tenant that goes by `slug`. A former slug selects nobody.
    #[must_use]
    pub fn by_slug(&self, slug: &Slug) -> Option<TenantId> {
        let tenant = *self.slugs.get(slug)?;
        self.entry(tenant).filter(|it| it.slug == *slug).map(|_| tenant)
    }

    /// The tenant that `host` selects.
    #[must_use]
    pub fn by_host(&self, host: &Host) -> Option<TenantId> {
        self.hosts.get(host).copied()
    }

    /// Of the partitions `0..partitions`, the one with the fewest tenants that are not closed;
    /// of equals the first.
    #[must_use]
    pub fn least_loaded(&self, partitions: u32) -> u32 {
        let load = |it: &u32| self.loads.get(it).copied().unwrap_or_default();
        (0..partitions).min_by_key(load).unwrap_or_default()
    }

    fn open(&self, tenant: TenantId) -> Result<&Entry, Rejection> {
        let entry = self.entry(tenant).ok_or(Rejection::UnknownTenant(tenant))?;
        match entry.standing {
            Standing::Active | Standing::Suspended(_) => Ok(entry),
            Standing::Closed => Err(Rejection::Closed(tenant)),
        }
    }

    fn register(
        &self,
        tenant: TenantId,
        (slug, name): (&Slug, &Name),
        partition: u32,
        owner: Option<ActorId>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, Rejection> {
        if tenant == TenantId::SYSTEM {
            return Err(Rejection::SystemTenant);
        }
        if let Some(entry) = self.entry(tenant) {
            let same = entry.slug == *slug && entry.name == *name;
            return if same { Ok(Vec::new()) } else { Err(Rejection::AlreadyRegistered(tenant)) };
        }
        self.free(slug, tenant)?;
        let (slug, name) = (slug.clone(), name.clone());
        let registered = Event::TenantRegistered { tenant, slug, name, partition, owner, at: now };
        Ok(self.first_level(now).into_iter().chain([registered]).collect())
    }

    /// An installation that begins has no older process: it has the level of its first binary.
    fn first_level(&self, now: DateTime<Utc>) -> Option<Event> {
        let is_new = self.slugs.is_empty() && self.level() < Level::SPOKEN;
        is_new.then_some(Event::LevelRaised { to: Level::SPOKEN, at: now })
    }

    fn raise(&self, to: Level, spoken: Level, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        let level = self.level();
        if to <= level {
            return Ok(Vec::new());
        }
        if to > level.next() {
            return Err(Rejection::LevelSkipped { level, to });
        }
        if to > spoken {
            return Err(Rejection::LevelNotSpoken { spoken, to });
        }
        Ok(vec![Event::LevelRaised { to, at: now }])
    }

    fn free(&self, slug: &Slug, tenant: TenantId) -> Result<(), Rejection> {
        match self.slugs.get(slug) {
            Some(holder) if *holder != tenant => Err(Rejection::SlugTaken(slug.clone())),
            Some(_) | None => Ok(()),
        }
    }

    fn change(&mut self, tenant: TenantId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.tenants.get_mut(&tenant) {
            change(entry);
        }
    }
}

impl Aggregate for Directory {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::RegisterTenant { tenant, slug, name, partition, owner } => {
                self.register(*tenant, (slug, name), *partition, *owner, now)
            }
            Command::ChangeSlug { tenant, slug } => {
                if self.open(*tenant)?.slug == *slug {
                    return Ok(Vec::new());
                }
                self.free(slug, *tenant)?;
                Ok(vec![Event::SlugChanged { tenant: *tenant, slug: slug.clone() }])
            }
            Command::AddHost { tenant, host } => {
                let entry = self.open(*tenant)?;
                match self.by_host(host) {
                    Some(holder) if holder == *tenant => Ok(Vec::new()),
                    Some(_) => Err(Rejection::HostTaken(host.clone())),
                    None if entry.hosts >= HOSTS_MAX => Err(Rejection::TooManyHosts(*tenant)),
                    None => Ok(vec![Event::HostAdded { tenant: *tenant, host: host.clone() }]),
                }
            }
            Command::RemoveHost { tenant, host } => {
                self.open(*tenant)?;
                if self.by_host(host) == Some(*tenant) {
                    Ok(vec![Event::HostRemoved { tenant: *tenant, host: host.clone() }])
                } else {
                    Ok(Vec::new())
                }
            }
            Command::SuspendTenant { tenant, reason } => {
                if self.open(*tenant)?.standing == Standing::Suspended(*reason) {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::TenantSuspended { tenant: *tenant, reason: *reason }])
            }
            Command::ReactivateTenant { tenant } => {
                if self.open(*tenant)?.standing == Standing::Active {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::TenantReactivated { tenant: *tenant }])
            }
            Command::CloseTenant { tenant } => match self.open(*tenant) {
                Ok(_) => Ok(vec![Event::TenantClosed { tenant: *tenant }]),
                Err(Rejection::Closed(_)) => Ok(Vec::new()),
                Err(rejection) => Err(rejection),
            },
            Command::RaiseLevel { to, spoken } => self.raise(*to, *spoken, now),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::TenantRegistered { tenant, slug, name, partition, owner: _, at: _ } => {
                let entry = Entry {
                    slug: slug.clone(),
                    name: name.clone(),
                    partition: *partition,
                    hosts: 0,
                    standing: Standing::Active,
                };
                self.tenants.insert_mut(*tenant, entry);
                self.slugs.insert_mut(slug.clone(), *tenant);
                *self.loads.entry(*partition).or_default() += 1;
            }
            Event::SlugChanged { tenant, slug } => {
                self.slugs.insert_mut(slug.clone(), *tenant);
                self.change(*tenant, |it| it.slug = slug.clone());
            }
            Event::HostAdded { tenant, host } => {
                self.hosts.insert_mut(host.clone(), *tenant);
                self.change(*tenant, |it| it.hosts += 1);
            }
            Event::HostRemoved { tenant, host } => {
                self.hosts.remove_mut(host);
                self.change(*tenant, |it| it.hosts -= 1);
            }
            Event::TenantSuspended { tenant, reason } => {
                self.change(*tenant, |it| it.standing = Standing::Suspended(*reason));
            }
            Event::TenantReactivated { tenant } => {
                self.change(*tenant, |it| it.standing = Standing::Active);
            }
            Event::TenantClosed { tenant } => {
                self.change(*tenant, |it| it.standing = Standing::Closed);
                let Some(partition) = self.entry(*tenant).map(|it| it.partition) else { return };
                if let Some(load) = self.loads.get_mut(&partition) {
                    *load -= 1;
                    if *load == 0 {
                        self.loads.remove(&partition);
                    }
                }
            }
            Event::LevelRaised { to, at: _ } => self.level = Some(*to),
        }
    }
}

#[cfg(test)]
mod tests;
