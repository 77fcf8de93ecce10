//! How far each permission reaches.

use std::sync::Arc;

use super::{Denied, Permission, Predicate};
use crate::id::TenantId;
use crate::role::{BuiltIn, Permit};

/// How much of a kind of data a principal may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    #[default]
    None,
    /// Everything of the tenant.
    All,
    /// What satisfies the predicate.
    Where(Arc<Predicate>),
}

impl Scope {
    /// The scope in which a permission of a role is given.
    #[must_use]
    pub fn of(condition: Option<&Arc<Predicate>>) -> Self {
        condition.map_or(Self::All, |it| Self::Where(it.clone()))
    }

    /// What is in this one or in the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, scope) | (scope, Self::None) => scope,
            (Self::Where(one), Self::Where(other)) if one == other => Self::Where(one),
            (Self::Where(one), Self::Where(other)) => {
                // That one is within the other is not looked for: it costs more than it saves.
                let mut parts = any_of(one);
                for part in any_of(other) {
                    if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
                Self::Where(Arc::new(Predicate::Any(parts)))
            }
        }
    }

    /// Whether nothing is in this one that is not in the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, _) | (_, Self::All) => true,
            (Self::All | Self::Where(_), Self::None) | (Self::All, Self::Where(_)) => false,
            (Self::Where(asked), Self::Where(held)) => asked == held || asked.is_within(held),
        }
    }
}

/// What may hold so that a condition does.
fn any_of(condition: Arc<Predicate>) -> Vec<Predicate> {
    match Arc::unwrap_or_clone(condition) {
        Predicate::Any(parts) => parts,
        single => vec![single],
    }
}

/// How far each permission reaches for somebody: what all roles of a member amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants(Box<[Scope]>);

/// A permission that would be given by somebody who does not have it, or not so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beyond(pub Permission);

impl Default for Grants {
    fn default() -> Self {
        Self(Permission::ALL.iter().map(|_| Scope::None).collect())
    }
}

impl Grants {
    /// What these permissions amount to in `tenant`: those that mean nothing there are left out.
    pub fn of<'p>(tenant: TenantId, permits: impl IntoIterator<Item = &'p Permit>) -> Self {
        let mut grants = Self::default();
        for Permit { permission, condition } in permits {
            if permission.exists_in(tenant) {
                let scope = &mut grants.0[*permission as usize];
                *scope = std::mem::take(scope).or(Scope::of(condition.as_ref()));
            }
        }
        grants
    }

    /// What the owners of `tenant` may.
    #[must_use]
    pub fn of_owner(tenant: TenantId) -> Self {
        Self::of(tenant, BuiltIn::Owner.permits())
    }

    /// The same, of these permissions only.
    #[must_use]
    pub fn only(&self, permissions: &[Permission]) -> Self {
        let mut grants = Self::default();
        for permission in permissions {
            grants.0[*permission as usize] = self.scope(*permission).clone();
        }
        grants
    }

    /// How far `permission` reaches.
    #[must_use]
    pub fn scope(&self, permission: Permission) -> &Scope {
        &self.0[permission as usize]
    }

    /// How far `permission` reaches, if at all.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it does not.
    pub fn authorize(&self, permission: Permission) -> Result<Scope, Denied> {
        match self.scope(permission) {
            Scope::None => Err(Denied { permission }),
            scope => Ok(scope.clone()),
        }
    }

    /// Every permission that reaches anything, and how far.
    pub fn iter(&self) -> impl Iterator<Item = (Permission, &Scope)> {
        let all = Permission::ALL.iter().copied().zip(&self.0);
        all.filter(|(_, scope)| **scope != Scope::None)
    }

    /// Fails if somebody who has these could not give `asked` to anybody: a grant never exceeds
    /// the grantor.
    ///
    /// # Errors
    ///
    /// [`Beyond`] names the first permission that is missing or does not reach so far.
    pub fn cover(&self, asked: &Self) -> Result<(), Beyond> {
        let beyond = |it: &(Permission, &Scope)| !it.1.is_within(self.scope(it.0));
        asked.iter().find(beyond).map_or(Ok(()), |it| Err(Beyond(it.0)))
    }
}
