//! Members and roles: what is listed of whom, and to whom.

use std::collections::BTreeSet;

use domain::id::RoleId;
use domain::principal::Predicate;
use domain::role::{self, BuiltIn, Permit, RoleName, RoleRef};
use domain::{Event as AnyEvent, Grants, Stream, member};
use event_log::{EventLog, MemoryLog, Partition, Position};

use super::*;
use crate::organisation::{members, roles};

const TEAM: RoleId = RoleId::from_digest([7; 16]);
const OWNER: RoleRef = RoleRef::BuiltIn(BuiltIn::Owner);
const VIEWER: RoleRef = RoleRef::BuiltIn(BuiltIn::Viewer);

on_each_kind! {
    members_and_roles_are_listed_to_their_tenant_and_the_removed_are_gone
}

fn team() -> Vec<Permit> {
    vec![Permit::only(Permission::EntityRead, Predicate::Tag("public".to_owned()))]
}

/// Adds the first actor to a tenant under this name, with these roles.
async fn add(history: &mut History, number: u128, name: &str, roles: &[RoleRef]) {
    let keys = history.keyring.tenant(tenant(number)).await.unwrap();
    let subject = keys.subject_id(&actor(1).to_string());
    let sealing = history.keyring.ensure_subjects(tenant(number), &[subject]).await.unwrap();
    let mut name = keys.personal(subject, name);
    sealing.seal(&mut name).unwrap();
    let roles = roles.iter().copied().collect();
    let event = member::Event::Added { name: Some(name), roles };
    history.event(tenant(number), Stream::Member(actor(1)), AnyEvent::Member(event));
}

/// Two tenants with the same member and a role of the same name, both of which the second has lost;
/// and how far it goes.
async fn written(history: &mut History, name: &RoleName) -> Position {
    for number in 1..=2 {
        let defined = role::Event::Defined { name: name.clone(), permits: team() };
        history.event(tenant(number), Stream::Role(TEAM), AnyEvent::Role(defined));
        add(history, number, &format!("Ada {number}"), &[RoleRef::Own(TEAM)]).await;
    }
    for event in [
        member::Event::Added { name: None, roles: [OWNER].into() },
        member::Event::RolesChanged { roles: [OWNER, VIEWER].into() },
    ] {
        history.event(tenant(1), Stream::Member(actor(2)), AnyEvent::Member(event));
    }
    let removed = AnyEvent::Member(member::Event::Removed {});
    history.event(tenant(2), Stream::Member(actor(1)), removed);
    history.event(tenant(2), Stream::Role(TEAM), AnyEvent::Role(role::Event::Retired {}));
    history.append().await
}

async fn members_and_roles_are_listed_to_their_tenant_and_the_removed_are_gone(on: Kind) {
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let name: RoleName = "team".parse().unwrap();
    let position = written(&mut history, &name).await;
    let place = Temporary::new(on).await;
    let settings = EngineSettings { batch_max: 2, ..place.settings() };
    let projections = Projections::start(settings, log, keyring.clone()).await.unwrap();
    let models = projections.models();
    models.wait_for(&[Model::Organisation], Partition(0), position, PATIENCE).await.unwrap();
    let (one, two) =
        (Principal::unchecked(tenant(1), actor(9)), Principal::unchecked(tenant(2), actor(9)));

    let page = members::list(&models, &one, &Window::first(9)).await.unwrap();
    let listed: Vec<_> = page.into_nodes().map(|it| (it.id, it.name, it.roles)).collect();
    let expected = [
        (actor(1), Some("Ada 1".to_owned()), BTreeSet::from([RoleRef::Own(TEAM)])),
        (actor(2), None, [OWNER, VIEWER].into()),
    ];
    assert_eq!(listed, expected);
    assert_eq!(members::count(&models, &one).await.unwrap(), 2);
    assert_eq!(members::count(&models, &two).await.unwrap(), 0, "who was removed is not there");
    let found = members::find_many(&models, &one, &[actor(3), actor(2)]).await.unwrap();
    let revisions: Vec<_> = found.iter().map(|it| Some(it.as_ref()?.revision)).collect();
    assert_eq!(revisions, [None, Some(2)]);

    let role = |permits, is_retired, revision| roles::Role {
        id: TEAM,
        name: name.clone(),
        permits,
        is_retired,
        revision,
    };
    let found = roles::find_many(&models, &one, &[TEAM]).await.unwrap();
    assert_eq!(found, [Some(role(team(), false, 1))]);
    let page = roles::list(&models, &two, &Window::first(9)).await.unwrap();
    assert_eq!(page.into_nodes().collect::<Vec<_>>(), [role(Vec::new(), true, 2)]);
    assert_eq!(roles::count(&models, &one).await.unwrap(), 1);

    // Who has only a part of the permissions is refused, and not shown less.
    let grants = Grants::of(tenant(1), BuiltIn::Billing.permits());
    let billing = Principal::member(tenant(1), actor(1), Arc::new(grants));
    assert!(matches!(members::count(&models, &billing).await, Err(ReadError::Denied(_))));
    assert!(matches!(roles::count(&models, &billing).await, Err(ReadError::Denied(_))));

    // Who is added again has what was said then.
    add(&mut history, 2, "Ada again", &[VIEWER]).await;
    let position = history.append().await;
    models.wait_for(&[Model::Organisation], Partition(0), position, PATIENCE).await.unwrap();
    let page = members::list(&models, &two, &Window::first(9)).await.unwrap();
    let listed: Vec<_> = page.into_nodes().map(|it| (it.name, it.roles)).collect();
    assert_eq!(listed, [(Some("Ada again".to_owned()), [VIEWER].into())]);
    projections.stop().await;
}
