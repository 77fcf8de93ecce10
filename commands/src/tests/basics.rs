//! From a request to a durable, ordered, chained record and back.

use domain::Stream;
use domain::catalog::KindSet;
use domain::operation::{ExpectedRevision, Operation};
use domain::principal::Principal;
use domain::tenant;
use event_log::{Attribute, Link, Partition};

use super::installation::{Installation, KINDS, operator, put, put_described, remove};
use super::requests::keyed;
use crate::request::{CommandError, Mode, Outcome, Repetition, Request};
use crate::settings::Sabotage;

#[tokio::test]
async fn a_registered_tenant_comes_to_be_with_its_own_account() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let slug = "acme".parse().unwrap();
    assert_eq!(installation.commands.tenant_by_slug(&slug), Some(acme.tenant()));
    let names: Vec<_> = installation
        .records(Partition(0))
        .await
        .iter()
        .map(|it| it.record.attribute(Attribute::Type).to_owned())
        .collect();
    let expected = [
        "callboard.directory.tenant-registered.v1",
        "callboard.tenant.created.v1",
        "callboard.customer.opened.v1",
        "callboard.reaction.advanced.v1",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_entity_is_registered_updated_and_deregistered() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let first = installation.submit(&acme, put("web")).await.unwrap();
    assert_eq!(first.events.len(), 1);
    assert_eq!(first.events[0].name, "entity.registered.v1");
    assert_eq!(first.events[0].revision, 1);
    assert!(matches!(first.events[0].stream, Stream::Entity(_)));
    assert_eq!(first.repetition, Repetition::First);

    let nothing = installation.submit(&acme, put("web")).await.unwrap();
    assert!(nothing.events.is_empty(), "what was asked holds already");
    assert_eq!(nothing.position, first.position);

    let changed = installation.submit(&acme, put_described("web", "new")).await.unwrap();
    assert_eq!(
        (changed.events[0].name.as_ref(), changed.events[0].revision),
        ("entity.updated.v1", 2)
    );
    assert_eq!(changed.sequence, first.sequence + 1);
    assert!(changed.position > first.position);

    let gone = installation.submit(&acme, remove("web")).await.unwrap();
    assert_eq!(gone.events[0].name, "entity.deregistered.v1");
}

#[tokio::test]
async fn the_history_is_gapless_and_chained_per_tenant() {
    let installation = Installation::new().await;
    let tenants = [installation.tenant("acme").await, installation.tenant("umbrella").await];
    for number in 0..20 {
        for tenant in &tenants {
            installation.submit(tenant, put(&format!("web-{number}"))).await.unwrap();
        }
    }
    let records = installation.records(Partition(0)).await;
    for tenant in &tenants {
        let of_tenant = |it: &&event_log::Recorded| {
            it.record.attribute(Attribute::Tenant) == tenant.tenant().to_string()
        };
        let mut link = Link::GENESIS;
        let mut count = 0;
        for (recorded, sequence) in records.iter().filter(of_tenant).zip(1..) {
            let record = &recorded.record;
            assert_eq!(record.attribute(Attribute::Sequence), sequence.to_string());
            link = link.then(record.canonical());
            assert_eq!(record.link(), link);
            count += 1;
        }
        assert_eq!(count, 23);
    }
}

#[tokio::test]
async fn state_comes_back_from_the_log() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let first = installation.submit(&acme, put("web")).await.unwrap();
    installation.restart().await;
    let same = installation.submit(&acme, put("web")).await.unwrap();
    assert!(same.events.is_empty());
    let changed = installation.submit(&acme, put_described("web", "new")).await.unwrap();
    assert_eq!(changed.sequence, first.sequence + 1);
    assert_eq!(changed.events[0].revision, 2);
}

#[tokio::test]
async fn who_may_not_ask_is_told_so() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let close =
        Operation::SuspendTenant { tenant: acme.tenant(), reason: tenant::SuspensionReason::Abuse };
    let denied = installation.submit(&acme, close.clone()).await;
    assert!(matches!(denied, Err(CommandError::Denied(_))), "{denied:?}");
    let denied = installation.submit(&operator(), put("web")).await;
    assert!(matches!(denied, Err(CommandError::Denied(_))), "{denied:?}");
    installation.submit(&operator(), close).await.unwrap();
}

#[tokio::test]
async fn a_malformed_descriptor_is_named_with_its_place() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let invalid = installation.submit(&acme, put("not a name")).await;
    let Err(CommandError::Invalid(violations)) = invalid else { panic!("{invalid:?}") };
    assert_eq!(violations[0].field, "changes[0].descriptor.metadata.name");
}

#[tokio::test]
async fn a_preview_is_decided_and_leaves_nothing_behind() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let request = Request { mode: Mode::Preview, ..Request::new(put("web")) };
    let preview = installation.ask(&acme, request.clone()).await.unwrap();
    assert_eq!(preview.events[0].name, "entity.registered.v1");
    assert!(preview.events[0].id.0.is_nil());
    let again = installation.ask(&acme, request).await.unwrap();
    assert_eq!(again.events, preview.events, "a preview changes nothing");
    let real = installation.submit(&acme, put("web")).await.unwrap();
    assert_eq!(real.events[0].revision, 1);
}

#[tokio::test]
async fn what_kinds_a_catalog_accepts_is_decided_by_its_settings_of_that_moment() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    assert_eq!(KINDS, KindSet::default());
    let template = template();
    installation.submit(&acme, template.clone()).await.unwrap();
    let settings = tenant::Settings {
        time_zone: chrono_tz::UTC,
        currency: "EUR".parse().unwrap(),
        kinds: KindSet::Core,
    };
    let configure = Operation::ConfigureTenant { settings };
    installation.submit(&acme, configure).await.unwrap();
    let refused = installation.submit(&acme, template).await;
    assert!(matches!(refused, Err(CommandError::Invalid(_))), "{refused:?}");
    installation.submit(&acme, put("web")).await.unwrap();
}

/// What a keyed request is answered again after the catalog's kinds were narrowed, and a new one.
async fn repeated_after_narrowing(sabotage: Option<Sabotage>) -> [bool; 2] {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    let first = installation.ask(&acme, keyed(template(), "one")).await.unwrap();
    let settings = tenant::Settings {
        time_zone: chrono_tz::UTC,
        currency: "EUR".parse().unwrap(),
        kinds: KindSet::Core,
    };
    installation.submit(&acme, Operation::ConfigureTenant { settings }).await.unwrap();
    let mut remembered = Vec::new();
    for key in ["one", "two"] {
        match installation.ask(&acme, keyed(template(), key)).await {
            Ok(again) => {
                let expected = Outcome { repetition: Repetition::Remembered, ..first.clone() };
                assert_eq!(again, expected);
                remembered.push(true);
            }
            Err(CommandError::Invalid(violations)) => {
                assert!(violations[0].field.starts_with("changes[0].descriptor"));
                remembered.push(false);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    remembered.try_into().unwrap()
}

#[tokio::test]
async fn a_repeated_request_has_its_outcome_although_the_catalog_accepts_less_since() {
    assert_eq!(repeated_after_narrowing(None).await, [true, false]);
    let noticed = repeated_after_narrowing(Some(Sabotage::ShapeFirst)).await;
    assert_eq!(noticed, [false, false], "the check would notice");
}

/// A kind that the core ones are without.
pub(super) fn template() -> Operation {
    let descriptor = serde_json::json!({
        "apiVersion": "scaffolder.backstage.io/v1beta3",
        "kind": "Template",
        "metadata": { "name": "new-service" },
        "spec": { "type": "service", "steps": [{ "id": "fetch", "action": "fetch:plain" }] },
    });
    let expected = ExpectedRevision::Any;
    let change = domain::operation::EntityChange::Put { descriptor, location: None, expected };
    Operation::ApplyEntities { changes: vec![change] }
}

#[tokio::test]
async fn a_suspended_tenant_changes_nothing_until_it_is_reactivated() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let suspend = Operation::SuspendTenant {
        tenant: acme.tenant(),
        reason: tenant::SuspensionReason::NonPayment,
    };
    installation.submit(&operator(), suspend).await.unwrap();
    until_rejected(&installation, &acme, Some("TENANT_SUSPENDED")).await;
    let reactivate = Operation::ReactivateTenant { tenant: acme.tenant() };
    installation.submit(&operator(), reactivate).await.unwrap();
    until_rejected(&installation, &acme, None).await;
}

/// Polls until a harmless request is rejected with this code, or accepted.
async fn until_rejected(installation: &Installation, who: &Principal, code: Option<&str>) {
    for _ in 0..10_000 {
        let found = match installation.submit(who, put("web")).await {
            Err(CommandError::Rejected { code, .. }) => Some(code),
            other => other.map(|_| None).unwrap(),
        };
        if found.as_deref() == code {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never rejected with {code:?}");
}
