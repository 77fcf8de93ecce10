//! A member's session: for some hours after they have proved who they are they need not again.
//!
//! Of the text that stands for it only a keyed digest is known. It does *not* know how anything was
//! proved, nor what the text looks like on the wire.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Rejection, Term};
use crate::id::SessionId;
use crate::personal::Digest;
use crate::violation::Violations;

/// The most sessions a member may have at a time: 20, more than somebody has devices.
pub const SESSIONS_MAX: usize = 20;

/// How a member has proved who they are, by the names of RFC 8176 (`amr`), and one that it lacks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::event::open)]
pub enum Method {
    /// With a password.
    Pwd,
    /// With a one-time password.
    Otp,
    /// With a key that does not leave its hardware.
    Hwk,
    /// With a key that may leave it.
    Swk,
    /// With more than one factor.
    Mfa,
    /// At a provider, which says so; RFC 8176 has no name for that.
    Fed,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 6] = [Self::Pwd, Self::Otp, Self::Hwk, Self::Swk, Self::Mfa, Self::Fed];

    /// Its name in RFC 8176, or ours.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pwd => "pwd",
            Self::Otp => "otp",
            Self::Hwk => "hwk",
            Self::Swk => "swk",
            Self::Mfa => "mfa",
            Self::Fed => "fed",
        }
    }
}

/// How long something is good for, in seconds, from when that is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lifetime(u32);

impl Lifetime {
    /// The longest session: 12 hours, a long day of work.
    pub const SESSION_MAX: Self = Self::hours(12);

    /// The longest invite: 7 days.
    pub const INVITE_MAX: Self = Self::hours(7 * 24);

    /// So many hours.
    #[must_use]
    pub const fn hours(hours: u32) -> Self {
        Self(hours.saturating_mul(60 * 60))
    }

    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// In seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// When what begins at `start` ends.
    #[must_use]
    pub fn after(self, start: DateTime<Utc>) -> DateTime<Utc> {
        start + TimeDelta::seconds(self.0.into())
    }

    /// Notes that it is none, or longer than `max`.
    pub(crate) fn note_violations(self, max: Self, violations: &mut Violations) {
        if self.0 == 0 || self > max {
            let (max, got) = (max.0, self.0);
            violations.note("lifetime", format!("expected 1 to {max} seconds, got {got}"));
        }
    }
}

/// How long somebody may do what could do most harm after they have proved who they are. In minutes: 15, after
/// which NIST SP 800-63B has who rests be asked again at its highest level (AAL3).
pub const FRESH_MAX: TimeDelta = TimeDelta::minutes(15);

impl Session {
    /// Whether its member has proved lately who they are.
    #[must_use]
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.proved_at.is_some_and(|it| now < it + FRESH_MAX)
    }
}

/// A session that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The keyed digest of the text that stands for it.
    pub secret: Digest,
    /// How its member has proved who they are.
    pub methods: BTreeSet<Method>,
    /// Since when it is.
    pub since: DateTime<Utc>,
    /// When they proved it; none if that is not known, as where a provider does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A session that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The keyed digest of the text that will stand for it.
    pub secret: Digest,
    /// How its member has proved who they are.
    pub methods: BTreeSet<Method>,
    /// How long ago they proved it, in seconds; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_s_ago: Option<u32>,
    /// How long it is good for.
    pub lifetime: Lifetime,
    /// Whether all others of its member end, as where they prove from now on otherwise who they are.
    pub ends_others: bool,
    /// For which time they must be a member, if what they have proved holds for one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
}

/// Notes what is wrong with what is asked for.
pub(crate) fn note_violations(asked: &SignIn, violations: &mut Violations) {
    violations.at_least_one("methods", asked.methods.len());
    asked.lifetime.note_violations(Lifetime::SESSION_MAX, violations);
}

/// Begins a session of somebody who is a member for the time `term`. All others end if that is asked; else those that have ended make room for it and, where there are as many as there
/// may be, the one that would end first; of equals, the one with the lower id.
pub(super) fn sign_in(
    sessions: &BTreeMap<SessionId, Session>,
    term: Term,
    session: SessionId,
    asked: &SignIn,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    if asked.term.is_some_and(|it| it != term) {
        return Err(Rejection::NotAdded);
    }
    match sessions.get(&session) {
        Some(known) if known.secret == asked.secret => return Ok(Vec::new()),
        Some(_) => return Err(Rejection::SessionExists),
        None => {}
    }
    let mut by_end: Vec<_> = sessions.iter().map(|(id, it)| (it.expires_at, *id)).collect();
    by_end.sort_unstable();
    let ended = by_end.iter().filter(|(end, _)| *end <= now).count();
    let too_many = (by_end.len() + 1).saturating_sub(SESSIONS_MAX);
    let leaving = if asked.ends_others { by_end.len() } else { ended.max(too_many) };
    let leaving = by_end.iter().take(leaving);
    let left = leaving.map(|(_, session)| Event::SignedOut { session: *session });
    let opened = Session {
        secret: asked.secret,
        methods: asked.methods.clone(),
        since: now,
        proved_at: asked.proved_s_ago.map(|it| now - TimeDelta::seconds(it.into())),
        expires_at: asked.lifetime.after(now),
    };
    Ok(left.chain([Event::SignedIn { session, opened }]).collect())
}

/// Ends a session, or every one that there is.
pub(super) fn sign_out(
    sessions: &BTreeMap<SessionId, Session>,
    session: Option<SessionId>,
) -> Result<Vec<Event>, Rejection> {
    let ended = |session: &SessionId| Event::SignedOut { session: *session };
    match session {
        None => Ok(sessions.keys().map(ended).collect()),
        Some(session) if sessions.contains_key(&session) => Ok(vec![ended(&session)]),
        Some(_) => Err(Rejection::SessionNotFound),
    }
}
