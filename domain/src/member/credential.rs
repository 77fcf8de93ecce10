//! What members prove who they are by, as far as it is told when that changes.
//!
//! What is asked for, and whether it was shown, is for `query-api` and the vault to know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How what somebody proves who they are by differs from before.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = crate::event::open)]
pub enum CredentialChange {
    /// They have another password, or one for the first time.
    PasswordSet,
    /// An app is asked for beside it, or another one than before, and there are new recovery codes.
    SecondFactorSet,
    /// The password alone is asked for.
    SecondFactorRemoved,
    /// There are other recovery codes.
    RecoveryCodesReplaced,
    /// A provider says who they are, too.
    ProviderLinked,
}
