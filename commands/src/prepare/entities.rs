//! Preparing changes of catalog entities.

use std::collections::HashSet;

use domain::catalog::limits::INLINE_BYTES_MAX;
use domain::catalog::reference::DEFAULT_NAMESPACE;
use domain::catalog::{Descriptor, EntityRef, KindSet, StoredDescriptor};
use domain::entity::{Command, Facts};
use domain::id::{EntityUid, SubjectId};
use domain::location::Location;
use domain::operation;
use domain::principal::Predicate;
use domain::violation::Violation;
use uuid::Uuid;
use vault::TenantKeys;

use super::EntityChange;

/// What the owner fills in. Until then it would reject whatever depends on it.
const UNKNOWN: Facts =
    Facts { entities: u64::MAX, entities_max: Some(0), location: Location::NotRegistered };

/// Changes in shape, whose personal texts they hold, and their bytes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) changes: Vec<EntityChange>,
    pub(super) subjects: Vec<SubjectId>,
    pub(super) bytes: usize,
    /// What has to be stored beside the log before anything can name it.
    pub(super) large: Vec<String>,
    /// Whether any becomes something for which the condition does not hold.
    pub(super) beyond: bool,
}

/// Checks and splits every descriptor.
pub(super) fn shape(
    keys: &TenantKeys,
    kinds: KindSet,
    condition: Option<&Predicate>,
    asked: Vec<operation::EntityChange>,
) -> Result<Changes, Vec<Violation>> {
    let mut shaped = Changes::default();
    let mut violations = Vec::new();
    let mut known = HashSet::with_capacity(asked.len());
    for (place, change) in asked.into_iter().enumerate() {
        let field = || format!("changes[{place}]");
        match shaped.add(keys, kinds, condition, change) {
            Ok(()) => {
                let added = shaped.changes.last().expect("it was just added");
                if !known.insert(added.entity) {
                    let message = format!("`{}` is changed twice; merge both", added.reference);
                    violations.push(Violation { field: field(), message });
                }
            }
            Err(found) => violations.extend(found.into_iter().map(|it| it.within(&field()))),
        }
    }
    if violations.is_empty() { Ok(shaped) } else { Err(violations) }
}

impl Changes {
    fn add(
        &mut self,
        keys: &TenantKeys,
        kinds: KindSet,
        condition: Option<&Predicate>,
        change: operation::EntityChange,
    ) -> Result<(), Vec<Violation>> {
        let (reference, command, expected) = match change {
            operation::EntityChange::Put { descriptor, location, expected } => {
                let descriptor = Descriptor::parse(descriptor, kinds)
                    .map_err(|it| it.into_iter().map(|it| it.within("descriptor")))
                    .map_err(Iterator::collect::<Vec<_>>)?;
                self.beyond |= condition.is_some_and(|it| !it.holds_for(&descriptor));
                let reference = descriptor.reference().canonical();
                let text = serde_json::to_string(descriptor.json());
                let text = text.expect("what was parsed from JSON can be written as JSON");
                let digest = keys.digest("descriptor", &text);
                let descriptor = self.store(keys, descriptor, text.len());
                let uid = EntityUid(Uuid::now_v7());
                let command = Command::Put { uid, location, descriptor, digest, facts: UNKNOWN };
                (reference, command, expected)
            }
            operation::EntityChange::Remove { reference, expected } => {
                let reference = EntityRef::parse(&reference, None, DEFAULT_NAMESPACE);
                let reference = reference.map_err(|it| {
                    vec![Violation { field: "reference".to_owned(), message: it.to_string() }]
                })?;
                (reference.canonical(), Command::Remove, expected)
            }
        };
        let entity = keys.entity_id(&reference);
        self.bytes += reference.len();
        self.changes.push(EntityChange { entity, reference, command, expected });
        Ok(())
    }

    /// Takes the personal parts out, still plain, and what is too large for an event.
    fn store(
        &mut self,
        keys: &TenantKeys,
        descriptor: Descriptor,
        mut bytes: usize,
    ) -> StoredDescriptor {
        let mut parts = descriptor.into_parts();
        // As when it was checked: sealing makes no document longer than so many times.
        if bytes > INLINE_BYTES_MAX / 64 {
            parts.take_large();
        }
        bytes -= parts.large.iter().map(String::len).sum::<usize>().min(bytes);
        self.bytes += bytes;
        let large = parts.large.iter().map(|it| keys.blob_name(it.as_bytes())).collect();
        self.large.extend(parts.large);
        let personal = parts.personal.into_iter().map(|it| {
            let subject = keys.subject_id(&it.subject);
            self.subjects.push(subject);
            keys.personal(subject, it.text)
        });
        StoredDescriptor { personal: personal.collect(), public: parts.public.into(), large }
    }
}
