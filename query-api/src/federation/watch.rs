//! What is known of providers: asked for once, and again when it may have changed.
//!
//! A key that is not known is asked for at once, so that a provider may change its keys at any
//! moment; not more often than so often a minute, though, whatever it signs with. While a provider does not
//! answer, what it said before is good for a day. What is public of an issuer is the same for
//! all tenants, so it is kept once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::metadata::{self, Metadata};
use super::{Fetch, ProviderError};

/// How long what a provider said is taken for granted. In seconds: 600.
const FRESH: Duration = Duration::from_secs(600);

/// How long it is good while the provider does not answer. In hours: 24.
const OUTAGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long a provider that has not answered is left alone. In seconds: 5.
const PAUSE: Duration = Duration::from_secs(5);

/// How often a minute its keys are asked for: 6.
const KEYS_A_MINUTE_MAX: usize = 6;

/// The most that may wait for what one provider says of them: 8.
const SEATS_MAX: usize = 8;

/// The most issuers of which anything is kept: 1,000. Beyond that what is kept is forgotten.
const ISSUERS_MAX: usize = 1_000;

/// What is known of all providers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    fetch: Arc<dyn Fetch>,
    issuers: Arc<Mutex<HashMap<String, Arc<Issuer>>>>,
}

/// One of them.
#[derive(Debug)]
struct Issuer {
    known: tokio::sync::Mutex<Known>,
    /// For those who wait for what it says of them.
    seats: Arc<Semaphore>,
}

impl Default for Issuer {
    fn default() -> Self {
        Self { known: tokio::sync::Mutex::default(), seats: Arc::new(Semaphore::new(SEATS_MAX)) }
    }
}

/// What is known of one.
#[derive(Debug, Default)]
struct Known {
    metadata: Option<Said<Metadata>>,
    keys: Option<Said<Vec<Jwk>>>,
    /// When its keys were asked for, within the last minute.
    asked: Vec<Instant>,
    silent_since: Option<Instant>,
}

#[derive(Debug)]
struct Said<T> {
    what: Arc<T>,
    at: Instant,
}

impl<T> Said<T> {
    fn now(what: T) -> Self {
        Self { what: Arc::new(what), at: Instant::now() }
    }

    fn within(said: Option<&Self>, age_max: Duration) -> Option<Arc<T>> {
        said.filter(|it| it.at.elapsed() < age_max).map(|it| it.what.clone())
    }
}

impl Watch {
    pub(crate) fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, issuers: Arc::default() }
    }

    pub(super) fn fetch(&self) -> &dyn Fetch {
        self.fetch.as_ref()
    }

    /// What the provider at `issuer` says of itself.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if that is not known.
    pub(crate) async fn metadata(&self, issuer: &str) -> Result<Arc<Metadata>, ProviderError> {
        let place = self.issuer(issuer);
        let mut known = place.known.lock().await;
        self.metadata_of(&mut known, issuer).await
    }

    /// The key of the provider at `issuer` that this token was signed with, by what it says; none if the
    /// provider has no such key.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if its keys are not known.
    pub(super) async fn key(
        &self,
        issuer: &str,
        name: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<Jwk>, ProviderError> {
        let place = self.issuer(issuer);
        let mut known = place.known.lock().await;
        if let Some(keys) = Said::within(known.keys.as_ref(), FRESH)
            && let Some(key) = metadata::find(&keys, name, algorithm)
        {
            return Ok(Some(key.clone()));
        }
        if known.may_ask() {
            let asked = self.keys(&mut known, issuer).await;
            known.heard(issuer, asked.as_ref().err());
            match asked {
                Ok(keys) => known.keys = Some(Said::now(keys)),
                Err(error) if known.keys.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        let keys = Said::within(known.keys.as_ref(), OUTAGE_MAX).ok_or(ProviderError::Pause)?;
        Ok(metadata::find(&keys, name, algorithm).cloned())
    }

    async fn keys(&self, known: &mut Known, issuer: &str) -> Result<Vec<Jwk>, ProviderError> {
        let metadata = self.metadata_of(known, issuer).await?;
        metadata.keys(self.fetch()).await
    }

    async fn metadata_of(
        &self,
        known: &mut Known,
        issuer: &str,
    ) -> Result<Arc<Metadata>, ProviderError> {
        if let Some(metadata) = Said::within(known.metadata.as_ref(), FRESH) {
            return Ok(metadata);
        }
        let before = Said::within(known.metadata.as_ref(), OUTAGE_MAX);
        if known.is_silent() {
            return before.ok_or(ProviderError::Pause);
        }
        let asked = Metadata::of(self.fetch(), issuer).await;
        known.heard(issuer, asked.as_ref().err());
        match (asked, before) {
            (Ok(metadata), _) => {
                let said = Said::now(metadata);
                let metadata = said.what.clone();
                known.metadata = Some(said);
                Ok(metadata)
            }
            (Err(_), Some(before)) => Ok(before),
            (Err(error), None) => Err(error),
        }
    }

    /// A place among those who wait for what the provider at `issuer` says of them, if there is one.
    pub(crate) fn seat(&self, issuer: &str) -> Option<OwnedSemaphorePermit> {
        self.issuer(issuer).seats.clone().try_acquire_owned().ok()
    }

    fn issuer(&self, issuer: &str) -> Arc<Issuer> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if issuers.len() >= ISSUERS_MAX && !issuers.contains_key(issuer) {
            issuers.clear();
        }
        issuers.entry(issuer.to_owned()).or_default().clone()
    }
}

impl Known {
    fn is_silent(&self) -> bool {
        self.silent_since.is_some_and(|it| it.elapsed() < PAUSE)
    }

    /// Whether its keys may be asked for now; then they count as asked for.
    fn may_ask(&mut self) -> bool {
        self.asked.retain(|it| it.elapsed() < Duration::from_secs(60));
        let may = !self.is_silent() && self.asked.len() < KEYS_A_MINUTE_MAX;
        if may {
            self.asked.push(Instant::now());
        }
        may
    }

    /// Notes whether it has answered.
    fn heard(&mut self, issuer: &str, error: Option<&ProviderError>) {
        if let Some(error) = error {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, issuer, "a provider does not say what is asked of it");
        }
        self.silent_since = error.map(|_| Instant::now());
    }
}
