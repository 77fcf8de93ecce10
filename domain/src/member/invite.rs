//! A member's invite: whoever has its text may say how the member signs in.
//!
//! It gives no more than the member has. That it was used is *not* known here: whoever keeps accounts
//! lets it be used once.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::personal::Digest;

/// An invite that was made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The keyed digest of its text.
    pub secret: Digest,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}
