//! A sign-in on its way to a provider and back: sealed in a cookie of the browser that began it.
//!
//! So nothing is kept for who never comes back, and whoever shows another browser's state has no
//! cookie for it. That one has come back is a record of the vault, so it comes back once.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{ActorId, ProviderId, SessionId, TenantId};
use serde::{Deserialize, Serialize};
use vault::{Changes, Committed, Keyring, RecordKind};

use crate::accounts::AccountFault;

/// What the cookie is called.
pub(crate) const COOKIE: &str = "__Host-callboard-login";

/// How long somebody may be away at a provider. In minutes: 10.
const AWAY_MAX: TimeDelta = TimeDelta::minutes(10);

/// How long the mark that one has come back outlasts it, for clocks that differ. In minutes: 10.
const MARK_OUTLASTS: TimeDelta = TimeDelta::minutes(10);

/// What it is sealed for.
const PURPOSE: &str = "login";

// It has no text form for logs: it holds what proves that an answer is for this browser.
/// A sign-in that was begun.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// Where.
    pub(crate) provider: ProviderId,
    /// Comes back as it was sent.
    pub(crate) state: String,
    /// Comes back in what the provider signs.
    pub(crate) nonce: String,
    /// Proves to the provider that whoever asks for the token has begun this (PKCE).
    pub(crate) verifier: String,
    /// Where the provider sends people back to.
    pub(crate) back: String,
    /// When it was begun.
    pub(crate) begun: DateTime<Utc>,
    /// What it is for.
    pub(crate) goal: Goal,
}

/// What somebody goes to a provider for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Goal {
    /// To sign in as the member whom they were linked with.
    Enter,
    /// The same, and to be asked there who they are.
    Prove,
    /// To accept the invite of this text, and sign in there from now on.
    Accept(String),
    /// To sign in there, too, as the member whose session this is.
    Link(ActorId, SessionId),
}

impl Login {
    /// One that begins now.
    pub(crate) fn begin(provider: ProviderId, back: String, goal: Goal) -> Self {
        let random = || URL_SAFE_NO_PAD.encode(vault::random_bytes::<32>());
        let (state, nonce, verifier) = (random(), random(), random());
        Self { provider, state, nonce, verifier, back, begun: Utc::now(), goal }
    }

    /// What the provider is told of the verifier.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }

    /// What hands it to the browser: the value of `Set-Cookie`.
    pub(crate) fn cookie(&self, keyring: &Keyring, tenant: TenantId) -> HeaderValue {
        let plain = serde_json::to_vec(self).expect("it is plain data");
        cookie(&keyring.bind(PURPOSE, tenant, &plain), AWAY_MAX)
    }

    /// The one that this browser has begun at this tenant, if it is not over.
    pub(crate) fn read(
        headers: &HeaderMap,
        keyring: &Keyring,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let sent = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let pairs = sent.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
        let mut ours = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, text)| text);
        // Of two it is not known which one is this browser's.
        let text = ours.next().filter(|_| ours.next().is_none())?;
        let plain = keyring.unbind(PURPOSE, tenant, text).ok()?;
        let login: Self = serde_json::from_slice(&plain).ok()?;
        Some(login).filter(|it| now < it.begun + AWAY_MAX)
    }

    /// Notes that it has come back; whether this is the first time.
    ///
    /// # Errors
    ///
    /// A fault of the vault; then it may count as the first time.
    pub(crate) async fn come_back(
        &self,
        keyring: &Keyring,
        tenant: TenantId,
    ) -> Result<bool, AccountFault> {
        let keys = keyring.tenant(tenant).await?;
        let place = (RecordKind::UsedLogin, self.state.as_str());
        let ends_at = self.begun + AWAY_MAX + MARK_OUTLASTS;
        let changes = Changes::of(&keys).put(place, None, b"", Some(ends_at));
        let committed = keyring.records().commit(&changes, Utc::now()).await?;
        Ok(committed == Committed::Whole)
    }
}

/// What makes a browser forget it.
pub(crate) fn clear() -> HeaderValue {
    cookie("", TimeDelta::zero())
}

/// It is sent along when another site sends somebody back, which a session never is.
fn cookie(text: &str, lasts: TimeDelta) -> HeaderValue {
    let seconds = lasts.num_seconds();
    let cookie =
        format!("{COOKIE}={text}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    let mut value = HeaderValue::try_from(cookie).expect("what is sealed is ASCII");
    value.set_sensitive(true);
    value
}
