//! What everybody in the process may see of committed state at any time, without asking.
//!
//! Owners write it before they answer, so who was answered sees what they did.

mod access;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::Stream;
use domain::catalog::KindSet;
use domain::directory::Directory;
use domain::id::{ProviderId, TenantId};
use domain::tenant::{Provider, Standing, Tenant};
use tokio::sync::watch;

use self::access::Access;
use crate::state::{Held, Slot};

/// The providers of a tenant.
pub type Providers = BTreeMap<ProviderId, Provider>;

/// The directory, who may do what, and how tenants and their catalogs differ from the usual.
#[derive(Debug, Default)]
pub(crate) struct Views {
    directory: watch::Sender<Directory>,
    /// The kinds that tenants' catalogs accept, where that is not the usual.
    kinds: RwLock<HashMap<TenantId, KindSet>>,
    /// Who says who the members of tenants are, where somebody does.
    providers: RwLock<HashMap<TenantId, Arc<Providers>>>,
    /// How tenants stand that are not active.
    idle: RwLock<HashMap<TenantId, Standing>>,
    /// Tenants of which nothing is known here, since what they recorded could not be read.
    unread: RwLock<HashSet<TenantId>>,
    /// Tenants that lack a key, as the operator was told.
    keyless: Mutex<HashSet<TenantId>>,
    pub(crate) access: Access,
}

impl Views {
    /// Shows a slot that has become durable, if it is one of those that are shown.
    pub(crate) fn show(&self, tenant: TenantId, stream: &Stream, slot: &Slot) {
        match (stream, &slot.held) {
            (Stream::Directory, Held::Directory(directory)) => {
                self.directory.send_replace(Directory::clone(directory));
            }
            (Stream::Tenant(_), Held::Tenant(state)) => {
                let profile = Tenant::profile(state);
                self.show_kinds(tenant, profile.map(|it| it.settings.kinds).unwrap_or_default());
                self.show_providers(tenant, profile.map(|it| &it.providers));
                self.show_standing(tenant, state.standing());
            }
            (Stream::Member(actor), Held::Member(member)) => {
                self.access.show_member(tenant, *actor, member);
            }
            (Stream::Role(id), Held::Role(role)) => self.access.show_role(tenant, *id, role),
            _ => {}
        }
    }

    pub(crate) fn directory(&self) -> watch::Ref<'_, Directory> {
        self.directory.borrow()
    }

    /// The kinds a tenant's catalog accepts.
    pub(crate) fn kinds(&self, tenant: TenantId) -> KindSet {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds.get(&tenant).copied().unwrap_or_default()
    }

    /// How a tenant stands, as far as is known here; active if nothing is.
    pub(crate) fn standing(&self, tenant: TenantId) -> Standing {
        let idle = self.idle.read().unwrap_or_else(PoisonError::into_inner);
        idle.get(&tenant).copied().unwrap_or(Standing::Active)
    }

    /// Shows that what a tenant recorded could not be read, so that nothing is known of it any more.
    pub(crate) fn leave_unread(&self, tenant: TenantId) {
        let mut unread = self.unread.write().unwrap_or_else(PoisonError::into_inner);
        unread.insert(tenant);
        let count = u32::try_from(unread.len()).unwrap_or(u32::MAX);
        drop(unread);
        metrics::gauge!("tenants_unread").set(count);
        self.show_kinds(tenant, KindSet::default());
        self.show_providers(tenant, Some(&Providers::new()));
        self.show_standing(tenant, Standing::Active);
        self.access.forget(tenant);
    }

    /// Whether what a tenant recorded could not be read here.
    pub(crate) fn is_unread(&self, tenant: TenantId) -> bool {
        self.unread.read().unwrap_or_else(PoisonError::into_inner).contains(&tenant)
    }

    /// Notes that a tenant lacks its key; whether that is new.
    pub(crate) fn lacks_key(&self, tenant: TenantId) -> bool {
        self.keyless.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant)
    }

    /// The providers of a tenant, as far as is known here.
    pub(crate) fn providers(&self, tenant: TenantId) -> Arc<Providers> {
        let providers = self.providers.read().unwrap_or_else(PoisonError::into_inner);
        providers.get(&tenant).cloned().unwrap_or_default()
    }

    fn show_providers(&self, tenant: TenantId, providers: Option<&Providers>) {
        let known = self.providers(tenant);
        let Some(providers) = providers.filter(|it| **it != *known) else { return };
        let mut shown = self.providers.write().unwrap_or_else(PoisonError::into_inner);
        if providers.is_empty() {
            shown.remove(&tenant);
        } else {
            shown.insert(tenant, Arc::new(providers.clone()));
        }
    }

    fn show_standing(&self, tenant: TenantId, standing: Standing) {
        if standing == self.standing(tenant) {
            return;
        }
        let mut shown = self.idle.write().unwrap_or_else(PoisonError::into_inner);
        if standing == Standing::Active {
            shown.remove(&tenant);
        } else {
            shown.insert(tenant, standing);
        }
        drop(shown);
        self.access.tell();
    }

    fn show_kinds(&self, tenant: TenantId, kinds: KindSet) {
        if kinds == self.kinds(tenant) {
            return;
        }
        let mut shown = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        if kinds == KindSet::default() {
            shown.remove(&tenant);
        } else {
            shown.insert(tenant, kinds);
        }
    }
}
