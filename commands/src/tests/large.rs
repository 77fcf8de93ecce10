//! Descriptors too large for an event: stored beside the log before anything names them.

use std::time::Duration;

use domain::blob::BlobName;
use domain::catalog::limits::DESCRIPTOR_BYTES_MAX;
use domain::operation::{EntityChange, ExpectedRevision, Operation};
use domain::principal::Principal;
use domain::{Event, entity};
use event_log::memory::Fault;
use event_log::{Attribute, Partition};
use serde_json::json;

use super::installation::{Installation, SOON, operator, put};
use super::reacting::{block, blocker, suspend, until as reacted};
use crate::request::{CommandError, Mode, Outcome, Repetition, Request};
use crate::settings::{Sabotage, Settings};

type Asked = tokio::task::JoinHandle<Result<Outcome, CommandError>>;

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
async fn what_comes_to_nothing_leaves_nothing() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let name = name_of(&installation, &acme, 300_000).await;

    let preview = Request { mode: Mode::Preview, ..Request::new(api(300_000)) };
    assert_eq!(installation.ask(&acme, preview).await.unwrap().events.len(), 1);
    assert_eq!(content(&installation, &acme, name).await, None, "a preview stores nothing");

    installation.log.faults().fail_next(Fault::Refused);
    installation.submit(&acme, api(300_000)).await.unwrap_err();
    assert_eq!(named(&installation).await.0, []);
    assert_eq!(content(&installation, &acme, name).await, None, "nothing was written");
    installation.submit(&acme, api(300_000)).await.unwrap();
    assert_eq!(named(&installation).await.0, [name]);
    assert!(content(&installation, &acme, name).await.is_some());

    // Of what is written although that is not known at first it stays.
    installation.log.faults().fail_next(Fault::UnknownWritten);
    installation.submit(&acme, api(400_000)).await.unwrap();
    let other = name_of(&installation, &acme, 400_000).await;
    assert_eq!(named(&installation).await.0, [name, other]);
    assert!(content(&installation, &acme, other).await.is_some());
}

/// The name of the content that an API with so many bytes has.
async fn name_of(installation: &Installation, who: &Principal, bytes: usize) -> BlobName {
    let keys = installation.keyring.tenant(who.tenant()).await.unwrap();
    let Operation::ApplyEntities { changes } = api(bytes) else { unreachable!() };
    let EntityChange::Put { descriptor, .. } = &changes[0] else { unreachable!() };
    keys.blob_name(descriptor["spec"].to_string().as_bytes())
}

/// The same, on the condition that it is there already, which it is not.
fn replaced(bytes: usize) -> Request {
    let Operation::ApplyEntities { mut changes } = api(bytes) else { unreachable!() };
    let EntityChange::Put { expected, .. } = &mut changes[0] else { unreachable!() };
    *expected = ExpectedRevision::Exact(7);
    Request::new(Operation::ApplyEntities { changes })
}

fn is_conflict(answer: &Result<Outcome, CommandError>) -> bool {
    matches!(answer, Err(CommandError::Conflict { .. }))
}

async fn with(sabotage: Option<Sabotage>) -> (Installation, Principal) {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    (installation, acme)
}

/// Asks beside the test, and waits until so many requests wait.
async fn ask(installation: &Installation, who: &Principal, it: Request, waiting: usize) -> Asked {
    let (commands, who) = (installation.commands.clone(), who.clone());
    let asked = tokio::spawn(async move { commands.submit(&who, it).await });
    let reached = async {
        while installation.commands.owner(Partition(0)).waiting() < waiting {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, reached).await.expect("it waits soon");
    asked
}

/// Whether content is there after a request that named it was refused, and before and after that
/// whether it was named by another request.
async fn after_a_refusal(sabotage: Option<Sabotage>) -> [bool; 2] {
    let (installation, acme) = with(sabotage).await;
    let name = name_of(&installation, &acme, 300_000).await;
    let is_there = async || content(&installation, &acme, name).await.is_some();
    assert!(is_conflict(&installation.ask(&acme, replaced(300_000)).await));
    let unnamed = is_there().await;
    installation.submit(&acme, api(300_000)).await.unwrap();
    assert!(is_conflict(&installation.ask(&acme, replaced(300_000)).await));
    [unnamed, is_there().await]
}

#[tokio::test]
async fn what_was_refused_takes_its_content_along_but_not_that_of_others() {
    assert_eq!(after_a_refusal(None).await, [false, true]);
    let noticed = after_a_refusal(Some(Sabotage::KeepNothing)).await;
    assert_eq!(noticed, [false, false], "the check would notice");
}

/// Of two requests with the same content one is refused and cleared away before the other is
/// decided. Says how that ends, and whether the content is there then.
async fn two_with_one_content(sabotage: Option<Sabotage>) -> (bool, bool) {
    let change = |it: &mut Settings| {
        it.sabotage = sabotage;
        it.batch_requests_max = 1;
    };
    let installation = Installation::with(1, change).await;
    let acme = installation.tenant("acme").await;
    let name = name_of(&installation, &acme, 300_000).await;
    let blocked = block(&installation, &acme).await;
    let refused = ask(&installation, &acme, replaced(300_000), 1).await;
    let (blocked_again, begun) = blocker(&installation, &acme).await;
    let accepted = ask(&installation, &acme, Request::new(api(300_000)), 3).await;
    drop(blocked);
    assert!(is_conflict(&refused.await.unwrap()));
    begun.await.unwrap();
    drop(blocked_again);
    let accepted = accepted.await.unwrap().unwrap();
    let is_named = named(&installation).await.0 == [name];
    assert_eq!(accepted.events.len(), 1);
    (is_named, content(&installation, &acme, name).await.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_refused_leaves_content_that_another_request_under_way_has() {
    assert_eq!(two_with_one_content(None).await, (true, true));
    let noticed = two_with_one_content(Some(Sabotage::OneHold)).await;
    assert_eq!(noticed, (true, false), "the check would notice");
}

/// Whether content is there when whoever asked for it has gone away.
async fn after_going_away(it: Request, sabotage: Option<Sabotage>) -> bool {
    let (installation, acme) = with(sabotage).await;
    let name = name_of(&installation, &acme, 300_000).await;
    let blocked = block(&installation, &acme).await;
    let gone = ask(&installation, &acme, it, 1).await;
    assert!(content(&installation, &acme, name).await.is_some());
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    drop(blocked);
    installation.submit(&acme, put("web")).await.unwrap();
    let removed = async {
        while content(&installation, &acme, name).await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    let stays = tokio::time::timeout(Duration::from_secs(2), removed).await.is_err();
    let names = named(&installation).await.0;
    assert!(names.is_empty() || (names == [name] && stays), "{names:?}");
    stays
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_goes_away_leaves_what_it_would_have_left() {
    assert!(!after_going_away(replaced(300_000), None).await);
    assert!(after_going_away(Request::new(api(300_000)), None).await);
    let noticed = after_going_away(replaced(300_000), Some(Sabotage::GoAway)).await;
    assert!(noticed, "the check would notice");
}

/// Whether content is stored for a tenant that is suspended.
async fn stored_while_suspended(sabotage: Option<Sabotage>) -> bool {
    let (installation, acme) = with(sabotage).await;
    let name = name_of(&installation, &acme, 300_000).await;
    let remembered =
        Request { idempotency_key: Some("one".parse().unwrap()), ..Request::new(api(400_000)) };
    installation.ask(&acme, remembered.clone()).await.unwrap();
    installation.submit(&operator(), suspend(&acme)).await.unwrap();
    reacted(&installation, "tenant.suspended.v1", 1).await;
    let again = installation.ask(&acme, remembered).await.unwrap();
    assert_eq!(again.repetition, Repetition::Remembered);
    let blocked = block(&installation, &acme).await;
    let asked = ask(&installation, &acme, Request::new(api(300_000)), 1).await;
    let is_stored = content(&installation, &acme, name).await.is_some();
    drop(blocked);
    let answer = asked.await.unwrap();
    let refused =
        matches!(&answer, Err(CommandError::Rejected { code, .. }) if code == "TENANT_SUSPENDED");
    assert!(refused, "{answer:?}");
    let reactivate = Operation::ReactivateTenant { tenant: acme.tenant() };
    installation.submit(&operator(), reactivate).await.unwrap();
    reacted(&installation, "tenant.reactivated.v1", 1).await;
    installation.submit(&acme, api(300_000)).await.unwrap();
    is_stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_stored_for_who_may_not_change_anything() {
    assert!(!stored_while_suspended(None).await);
    assert!(stored_while_suspended(Some(Sabotage::StoreFirst)).await, "the check would notice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_stores_no_more_than_it_may_have_under_way() {
    let installation = Installation::with(1, |it| it.large_bytes_max = 500_000).await;
    let (acme, other) = (installation.tenant("acme").await, installation.tenant("other").await);
    let blocked = block(&installation, &acme).await;
    // Alone it may have more.
    let first = ask(&installation, &acme, Request::new(api(600_000)), 1).await;
    let full = installation.submit(&acme, api(300_000)).await;
    assert!(matches!(full, Err(CommandError::Busy { .. })), "{full:?}");
    let name = name_of(&installation, &acme, 300_000).await;
    assert_eq!(content(&installation, &acme, name).await, None);
    let theirs = ask(&installation, &other, Request::new(api(300_000)), 2).await;
    drop(blocked);
    for asked in [first, theirs] {
        asked.await.unwrap().unwrap();
    }
    installation.submit(&acme, api(300_000)).await.unwrap();
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
