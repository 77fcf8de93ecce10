//! Everything that is stored of an entity, derived from its descriptor.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use domain::catalog::derive::{Origin, complete};
use domain::catalog::search::{SearchRow, flatten};
use domain::catalog::{Descriptor, StoredDescriptor};
use domain::id::{LocationId, SubjectId, TenantId};
use domain::location::LocationKind;
use serde_json::Value;
use vault::{Keyring, KeyringError, SubjectKeys};

use super::{Registration, Source};
use crate::catalog::words;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::large::{self, LargeError};

/// What is stored of an entity.
pub(super) struct Derived {
    pub reference: String,
    pub location: Option<LocationId>,
    pub registration: Registration,
    pub document: Value,
    pub etag: String,
    pub subjects: BTreeSet<SubjectId>,
}

/// What stands in the tables that are searched: a function of the document alone.
#[derive(Default)]
pub(super) struct Indexed {
    pub search: Vec<SearchRow>,
    pub words: BTreeMap<String, i64>,
    /// Source, type, target.
    pub relations: BTreeSet<(String, &'static str, String)>,
}

/// What was taken out of a descriptor for its event, in order.
pub(super) struct Taken {
    /// The personal texts; none where the subject was erased.
    texts: Vec<Option<String>>,
    /// The large parts; none where the tenant was erased.
    large: Vec<Option<String>>,
}

/// Opens personal data, asking the vault once per tenant and set of subjects.
pub(super) struct Keys<'a> {
    keyring: &'a Keyring,
    held: HashMap<(TenantId, SubjectId), SubjectKeys>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(keyring: &'a Keyring) -> Self {
        Self { keyring, held: HashMap::new() }
    }

    /// What was taken out of `descriptor`.
    pub(super) async fn open(
        &mut self,
        fact: &Fact,
        descriptor: &StoredDescriptor,
    ) -> Result<Taken, ApplyError> {
        let large = match large::read(self.keyring, fact.tenant, &descriptor.large).await {
            Ok(large) => large,
            Err(LargeError::Lost(reason)) => return Err(fact.unfit(reason).into()),
            Err(LargeError::Vault(error)) => return Err(error.into()),
        };
        Ok(Taken { texts: self.open_personal(fact, descriptor).await?, large })
    }

    async fn open_personal(
        &mut self,
        fact: &Fact,
        descriptor: &StoredDescriptor,
    ) -> Result<Vec<Option<String>>, ApplyError> {
        let mut texts = Vec::with_capacity(descriptor.personal.len());
        for personal in &descriptor.personal {
            let key = (fact.tenant, personal.subject);
            if !self.held.contains_key(&key) {
                let keys = match self.keyring.subjects(key.0, &[key.1]).await {
                    Ok(keys) => keys,
                    Err(KeyringError::TenantErased(_)) => {
                        texts.push(None);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                self.held.insert(key, keys);
            }
            let text = self.held[&key].unseal(personal);
            texts.push(text.map_err(|it| fact.unfit(it.to_string()))?);
        }
        Ok(texts)
    }
}

/// Derives an entity; none if it was a person whose data was erased.
///
/// `source` is the location it follows: none if it follows none, and none within if that is gone.
pub(super) fn derive(
    fact: &Fact,
    descriptor: &StoredDescriptor,
    taken: &Taken,
    location: Option<LocationId>,
    source: Option<Option<&Source>>,
    registration: Option<Registration>,
) -> Result<Option<Derived>, Unfit> {
    let restored = Descriptor::recorded(descriptor.restore(&taken.texts, &taken.large));
    let restored = restored.ok_or_else(|| fact.unfit("its descriptor names no entity"))?;
    if restored.is_erased() {
        return Ok(None);
    }
    let unknown = || fact.unfit("the entity was never registered");
    let registration = registration.ok_or_else(unknown)?;
    let reference = restored.reference().canonical();
    let address = source.flatten().map(|it| format!("{}:{}", kind_name(it.kind), it.target));
    let origin = match (source, &address) {
        (None, _) => Origin::ByHand,
        (Some(_), Some(it)) => Origin::Location { managed_by: it, registered: it },
        (Some(_), None) => Origin::Orphan,
    };
    let mut document = complete(restored.into_json(), registration.uid, origin, &[]);
    if let Some(root) = document.as_object_mut() {
        // They are rows of their own, and change without the entity.
        root.remove("relations");
    }
    let etag = etag(&document);
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("etag".to_owned(), etag.as_str().into());
    }
    let subjects = descriptor.personal.iter().map(|it| it.subject).collect();
    Ok(Some(Derived { reference, location, registration, document, etag, subjects }))
}

/// What stands in the tables that are searched for `document`.
pub(super) fn index(document: &Value) -> Indexed {
    #[cfg(test)]
    crate::testing::panic_at_fatal(document["metadata"]["name"].as_str().unwrap_or_default());
    let mut relations = BTreeSet::new();
    if let Some(descriptor) = Descriptor::recorded(document.clone()) {
        let own = descriptor.reference().canonical();
        for it in descriptor.relations() {
            relations.insert((own.clone(), it.forward, it.target.clone()));
            relations.insert((it.target, it.backward, own.clone()));
        }
    }
    Indexed { search: flatten(document, &[]), words: words::of(document), relations }
}

pub(in crate::catalog) fn kind_name(kind: LocationKind) -> &'static str {
    match kind {
        LocationKind::Url => "url",
        LocationKind::File => "file",
    }
}

/// Stands for the document: SHA-256 of its JSON, whose keys are sorted, in hex.
fn etag(document: &Value) -> String {
    let hash = digest(&SHA256, document.to_string().as_bytes());
    hash.as_ref().iter().map(|it| format!("{it:02x}")).collect()
}
