//! One thing that a role permits.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::principal::{Permission, Predicate};
use crate::violation::Violations;

/// A permission, everywhere or under a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Permit {
    /// What may be done.
    pub permission: Permission,
    /// To which entities only; to everything if none.
    #[serde(
        default,
        rename = "when",
        skip_serializing_if = "Option::is_none",
        with = "shared_condition"
    )]
    #[schemars(with = "Option<Predicate>")]
    pub condition: Option<Arc<Predicate>>,
}

/// A condition that is shared in memory and stored in full.
mod shared_condition {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::principal::Predicate;

    #[expect(clippy::ref_option, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(
        condition: &Option<Arc<Predicate>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        condition.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<Predicate>>, D::Error> {
        Ok(Option::<Predicate>::deserialize(deserializer)?.map(Arc::new))
    }
}

impl Permit {
    /// A permission without a condition.
    #[must_use]
    pub const fn everywhere(permission: Permission) -> Self {
        Self { permission, condition: None }
    }

    /// The same with the condition as it is compared.
    #[must_use]
    pub fn normalized(self) -> Self {
        let condition = self.condition.map(|it| Arc::new(Arc::unwrap_or_clone(it).normalized()));
        Self { condition, ..self }
    }

    /// A permission for some entities only.
    #[must_use]
    pub fn only(permission: Permission, condition: Predicate) -> Self {
        Self { permission, condition: Some(Arc::new(condition)) }
    }
}

/// Notes what is wrong with the shape of all that a role permits.
pub(super) fn note_violations(permits: &[Permit], violations: &mut Violations) {
    violations.at_least_one("permits", permits.len());
    violations.at_most("permits", permits.len(), Permission::ALL.len());
    for (place, Permit { permission, condition }) in
        permits.iter().enumerate().take(Permission::ALL.len())
    {
        let field = format!("permits[{place}]");
        let name = permission.name();
        if permits[..place].iter().any(|it| it.permission == *permission) {
            violations.note(&field, format!("`{name}` is there twice; merge both with `any`"));
        }
        let Some(condition) = condition else { continue };
        if !permission.takes_condition() {
            violations.note(&field, format!("`{name}` cannot be given for some entities only"));
        }
        condition.note_violations(&format!("{field}.when"), violations);
    }
}
