//! What everybody in the process may see of committed state at any time, without asking.
//!
//! Owners write it before they answer, so who was answered sees what they did.

mod access;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use domain::Stream;
use domain::catalog::KindSet;
use domain::directory::Directory;
use domain::id::TenantId;
use domain::tenant::{Standing, Tenant};
use tokio::sync::watch;

use self::access::Access;
use crate::state::{Held, Slot};

/// The directory, who may do what, and how tenants and their catalogs differ from the usual.
#[derive(Debug, Default)]
pub(crate) struct Views {
    directory: watch::Sender<Directory>,
    /// The kinds that tenants' catalogs accept, where that is not the usual.
    kinds: RwLock<HashMap<TenantId, KindSet>>,
    /// How tenants stand that are not active.
    idle: RwLock<HashMap<TenantId, Standing>>,
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
