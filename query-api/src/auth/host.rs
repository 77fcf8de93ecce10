//! Which tenant the host of a request selects.
//!
//! Before anybody has signed in only the host says which tenant is meant: `<slug>.<suffix>`, or a host of
//! the tenant's own. The suffix itself and bare addresses mean the installation, whose tenant is the
//! system tenant. Later the credential alone grants a tenant, and a host that names another one is
//! refused. All of it is told by the directory that every process follows.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use commands::Commands;
use domain::directory::{Host, Slug};
use domain::id::TenantId;

use super::refusal::{bad_request, refusal};
use crate::transport::Refusal;

/// The hosts of an installation.
#[derive(Clone)]
pub struct Hosts {
    commands: Commands,
    suffix: Arc<str>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("suffix", &self.suffix).finish_non_exhaustive()
    }
}

/// What a host means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The tenant of this name, if there is one.
    Tenant(Option<TenantId>),
    /// The installation.
    Installation,
    /// Nothing: whoever asks came by a name that is none of ours.
    Nothing,
}

impl Hosts {
    /// Those that end in `suffix`, and those in the directory.
    #[must_use]
    pub fn new(commands: Commands, suffix: Arc<str>) -> Self {
        Self { commands, suffix }
    }

    /// The tenant that somebody may sign in to at this host. Whether one that is not selected is
    /// unknown, suspended or closed is not told.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is more than one host.
    pub fn selected(&self, headers: &HeaderMap) -> Result<Option<TenantId>, Refusal> {
        let tenant = match self.meaning(headers)? {
            Meaning::Tenant(tenant) => tenant,
            Meaning::Installation => Some(TenantId::SYSTEM),
            Meaning::Nothing => None,
        };
        Ok(tenant.filter(|it| self.commands.check_active(*it).is_ok()))
    }

    /// Fails if the host names another tenant than `granted`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with 400.
    pub(super) fn agree(&self, headers: &HeaderMap, granted: TenantId) -> Result<(), Refusal> {
        match self.meaning(headers)? {
            Meaning::Tenant(named) if named != Some(granted) => Err(another()),
            Meaning::Tenant(_) | Meaning::Installation | Meaning::Nothing => Ok(()),
        }
    }

    /// Fails unless the host is one of the tenant `granted`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with 400.
    pub(super) fn belong(&self, headers: &HeaderMap, granted: TenantId) -> Result<(), Refusal> {
        match self.meaning(headers)? {
            Meaning::Tenant(Some(named)) if named == granted => Ok(()),
            Meaning::Installation if granted == TenantId::SYSTEM => Ok(()),
            Meaning::Tenant(_) | Meaning::Installation | Meaning::Nothing => Err(another()),
        }
    }

    fn meaning(&self, headers: &HeaderMap) -> Result<Meaning, Refusal> {
        let Some(authority) = authority(headers)? else { return Ok(Meaning::Nothing) };
        let name = name(authority).to_ascii_lowercase();
        if name == *self.suffix || name.parse::<IpAddr>().is_ok() {
            return Ok(Meaning::Installation);
        }
        // First, so that nobody's own host can stand for somebody's slug.
        if let Some(slug) = name.strip_suffix(&*self.suffix).and_then(|it| it.strip_suffix('.')) {
            let slug = slug.parse::<Slug>().ok();
            return Ok(Meaning::Tenant(slug.and_then(|it| self.commands.tenant_by_slug(&it))));
        }
        let tenant = name.parse::<Host>().ok().and_then(|it| self.commands.tenant_by_host(&it));
        Ok(tenant.map_or(Meaning::Nothing, |it| Meaning::Tenant(Some(it))))
    }
}

fn another() -> Refusal {
    let message = "this host is not one of the tenant that the credential grants";
    refusal(StatusCode::BAD_REQUEST, "WRONG_HOST", message)
}

/// The host of a request with its port, as the request says it.
///
/// # Errors
///
/// [`Refusal`] if it says so more than once, or in no text.
pub(super) fn authority(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad_request("expected one `Host` header"));
    }
    value.to_str().map(Some).map_err(|_| bad_request("`Host` is not text"))
}

/// The same without the port, and an address without its brackets.
pub(crate) fn name(authority: &str) -> &str {
    if let Some((address, _port)) = authority.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return address;
    }
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests;
