//! Descriptors too large for an event: stored beside the log before anything names them.

use domain::blob::BlobName;
use domain::catalog::limits::DESCRIPTOR_BYTES_MAX;
use domain::operation::{EntityChange, ExpectedRevision, Operation};
use domain::principal::Principal;
use domain::{Event, entity};
use event_log::memory::Fault;
use event_log::{Attribute, Partition};
use serde_json::json;

use super::installation::Installation;
use crate::request::{CommandError, Mode, Request};

/// Puts an API whose definition has so many bytes.
fn api(bytes: usize) -> Operation {
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "API",
        "metadata": { "name": "orders" },
        "spec": {
            "type": "openapi", "lifecycle": "production", "owner": "team",
            "definition": "x".repeat(bytes),
        },
    });
    let put = EntityChange::Put { descriptor, location: None, expected: ExpectedRevision::Any };
    Operation::ApplyEntities { changes: vec![put] }
}

/// What events of entities name, and how many bytes such an event has at most.
async fn named(installation: &Installation) -> (Vec<BlobName>, usize) {
    let (mut names, mut bytes_max) = (Vec::new(), 0);
    for recorded in installation.records(Partition(0)).await {
        let record = recorded.record;
        let event = Event::decode(record.attribute(Attribute::Type), &record.value()).unwrap();
        if let Event::Entity(
            entity::Event::Registered { descriptor, .. }
            | entity::Event::Updated { descriptor, .. },
        ) = event
        {
            names.extend(descriptor.large);
            bytes_max = bytes_max.max(record.value().len());
        }
    }
    (names, bytes_max)
}

async fn content(installation: &Installation, who: &Principal, name: BlobName) -> Option<Vec<u8>> {
    let keys = installation.keyring.tenant(who.tenant()).await.unwrap();
    installation.keyring.blobs().get(&keys, name).await.unwrap()
}

#[tokio::test]
async fn what_an_event_names_is_stored_for_its_tenant_alone() {
    let mut installation = Installation::new().await;
    let (acme, other) = (installation.tenant("acme").await, installation.tenant("other").await);
    installation.submit(&acme, api(1024 * 1024)).await.unwrap();
    installation.submit(&other, api(1024 * 1024)).await.unwrap();
    let (names, bytes_max) = named(&installation).await;
    assert!(names.len() == 2 && bytes_max < 4_096, "{names:?}, {bytes_max}");
    assert_ne!(names[0].hash, names[1].hash, "the same content has another name");
    let stored = content(&installation, &acme, names[0]).await.expect("it is stored");
    assert_eq!(stored.len() as u64, names[0].length);
    assert!(String::from_utf8(stored).unwrap().contains("xxxx"));
    // The other tenant cannot read it, though it knew the name.
    assert_eq!(content(&installation, &other, names[0]).await, None);

    // Whoever says the same again, also after a start from the log alone, changes nothing.
    installation.forget_snapshots().await;
    installation.start_again().await;
    let again = installation.submit(&acme, api(1024 * 1024)).await.unwrap();
    assert!(again.events.is_empty());
}

#[tokio::test]
async fn what_comes_to_nothing_leaves_at_most_content_that_the_next_try_finds() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let keys = installation.keyring.tenant(acme.tenant()).await.unwrap();
    let Operation::ApplyEntities { changes } = api(300_000) else { unreachable!() };
    let EntityChange::Put { descriptor, .. } = &changes[0] else { unreachable!() };
    let name = keys.blob_name(descriptor["spec"].to_string().as_bytes());

    let preview = Request { mode: Mode::Preview, ..Request::new(api(300_000)) };
    assert_eq!(installation.ask(&acme, preview).await.unwrap().events.len(), 1);
    assert_eq!(content(&installation, &acme, name).await, None, "a preview stores nothing");

    installation.log.faults().fail_next(Fault::Refused);
    installation.submit(&acme, api(300_000)).await.unwrap_err();
    assert_eq!(named(&installation).await.0, []);
    assert!(content(&installation, &acme, name).await.is_some(), "it was stored before");
    installation.submit(&acme, api(300_000)).await.unwrap();
    assert_eq!(named(&installation).await.0, [name]);
}

#[tokio::test]
async fn beyond_the_largest_descriptor_the_caller_is_told_the_limit() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, api(DESCRIPTOR_BYTES_MAX - 500)).await.unwrap();
    let refused = installation.submit(&acme, api(DESCRIPTOR_BYTES_MAX)).await;
    let Err(CommandError::Invalid(violations)) = refused else { panic!("{refused:?}") };
    assert!(violations[0].field.starts_with("changes[0].descriptor"), "{}", violations[0]);
    let expected = format!("expected at most {DESCRIPTOR_BYTES_MAX} bytes");
    assert!(violations[0].message.starts_with(&expected), "{}", violations[0].message);
}
