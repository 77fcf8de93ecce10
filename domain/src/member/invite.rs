//! A member's invite: whoever has its text may say how the member signs in.
//!
//! It gives no more than the member has, and is good only as long as whoever made it out could do so
//! again. That it was used is *not* known here: whoever keeps accounts
//! lets it be used once.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ActorId;
use crate::personal::Digest;

/// An invite that was made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invite {
    /// The keyed digest of its text.
    pub secret: Digest,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Who made it out; none for Callboard itself.
    pub by: Option<ActorId>,
}
