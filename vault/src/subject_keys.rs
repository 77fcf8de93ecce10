//! The keys of some persons and customers of one tenant, taken from the vault for a request.
//!
//! Sealing and unsealing are synchronous, so that a decision can be sealed between deciding
//! and appending. A key that was destroyed is known to be, and never made again.

use std::collections::HashMap;
use std::sync::Arc;

use domain::id::{SubjectId, TenantId};
use domain::personal::{Content, Personal};

use crate::cipher::Cipher;

/// What is known of a subject's key.
#[derive(Clone, Debug)]
pub(crate) enum SubjectKey {
    /// It exists.
    Live(Arc<Cipher>),
    /// It was destroyed: what it sealed is erased.
    Erased,
}

/// Why a text was not sealed or unsealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Nothing about this subject may be stored any more: it was erased.
    #[error("personal data of {0} was erased")]
    Erased(SubjectId),
    /// These keys were taken without the subject's, or the vault lost it.
    #[error("there is no key for personal data of {0}")]
    NoKey(SubjectId),
    /// The text was changed after it was sealed, or sealed for another tenant, subject or
    /// digest.
    #[error("personal data of {0} was not sealed for this place")]
    Forged(SubjectId),
}

/// The keys of some subjects of one tenant. Cheap to clone; hold it for a request, not for ever:
/// a copy outlives the destruction of the keys in it.
#[derive(Clone, Debug)]
pub struct SubjectKeys {
    tenant: TenantId,
    keys: Arc<HashMap<SubjectId, SubjectKey>>,
}

impl SubjectKeys {
    pub(crate) fn new(tenant: TenantId, keys: HashMap<SubjectId, SubjectKey>) -> Self {
        Self { tenant, keys: Arc::new(keys) }
    }

    /// Whether the subject was erased: nothing about it can be sealed or unsealed again.
    #[must_use]
    pub fn is_erased(&self, subject: SubjectId) -> bool {
        matches!(self.keys.get(&subject), Some(SubjectKey::Erased))
    }

    /// Seals a plain text in place; a sealed one stays as it is.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the subject was erased or its key was not taken; the text stays plain.
    pub fn seal(&self, personal: &mut Personal) -> Result<(), SealError> {
        let Content::Plain(text) = &personal.content else { return Ok(()) };
        let key = match self.keys.get(&personal.subject) {
            Some(SubjectKey::Live(key)) => key,
            Some(SubjectKey::Erased) => return Err(SealError::Erased(personal.subject)),
            None => return Err(SealError::NoKey(personal.subject)),
        };
        let sealed = key.seal(&self.context(personal), text.as_bytes());
        personal.content = Content::Sealed(sealed.into());
        Ok(())
    }

    /// The text, or none if its subject was erased.
    ///
    /// # Errors
    ///
    /// [`SealError::NoKey`] if the subject's key was not taken or is lost,
    /// [`SealError::Forged`] if the text is not what was sealed.
    pub fn unseal(&self, personal: &Personal) -> Result<Option<String>, SealError> {
        let sealed = match &personal.content {
            Content::Plain(text) => return Ok(Some(text.clone())),
            Content::Sealed(sealed) => sealed,
        };
        let key = match self.keys.get(&personal.subject) {
            Some(SubjectKey::Live(key)) => key,
            Some(SubjectKey::Erased) => return Ok(None),
            None => return Err(SealError::NoKey(personal.subject)),
        };
        let text = key.open(&self.context(personal), sealed);
        let text = text.and_then(|it| String::from_utf8(it).ok());
        text.map(Some).ok_or(SealError::Forged(personal.subject))
    }

    fn context(&self, personal: &Personal) -> [u8; 48] {
        let mut context = [0; 48];
        context[..16].copy_from_slice(self.tenant.0.as_bytes());
        context[16..32].copy_from_slice(personal.subject.0.as_bytes());
        context[32..].copy_from_slice(&personal.digest.0);
        context
    }
}
