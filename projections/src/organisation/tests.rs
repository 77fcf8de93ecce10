mod access;

use std::sync::Arc;

use domain::catalog::KindSet;
use domain::directory;
use domain::id::ActorId;
use domain::{Event as AnyEvent, Stream};
use event_log::{EventLog, MemoryLog, Partition};

use super::*;
use crate::page::Window;
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::{History, actor, keyring, tenant};
use crate::{Projections, Settings as EngineSettings};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        time_zone: chrono_tz::Europe::Berlin,
        currency: "EUR".parse().unwrap(),
        kinds: KindSet::Core,
    }
}

fn registered(number: u128) -> directory::Event {
    directory::Event::TenantRegistered {
        tenant: tenant(number),
        slug: format!("tenant-{number}").parse().unwrap(),
        name: format!("Tenant {number}").parse().unwrap(),
        partition: 0,
        owner: None,
        at: crate::testing::BEGIN.parse().unwrap(),
    }
}

on_each_kind! {
    a_tenant_sees_itself_and_operators_see_the_directory
}

async fn a_tenant_sees_itself_and_operators_see_the_directory(on: Kind) {
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    for number in 1..=3 {
        let event = AnyEvent::Directory(registered(number));
        history.event(TenantId::SYSTEM, Stream::Directory, event);
    }
    let host: domain::directory::Host = "portal.example.com".parse().unwrap();
    for event in [
        directory::Event::HostAdded { tenant: tenant(2), host: host.clone() },
        directory::Event::SlugChanged { tenant: tenant(2), slug: "another".parse().unwrap() },
        directory::Event::TenantSuspended { tenant: tenant(2), reason: SuspensionReason::Abuse },
        directory::Event::TenantClosed { tenant: tenant(3) },
    ] {
        history.event(TenantId::SYSTEM, Stream::Directory, AnyEvent::Directory(event));
    }
    for event in [
        Event::Created {
            slug: "tenant-1".parse().unwrap(),
            name: "Tenant 1".parse().unwrap(),
            settings: settings(),
            at: crate::testing::BEGIN.parse().unwrap(),
        },
        Event::Renamed { name: "One".parse().unwrap() },
        Event::Suspended { reason: SuspensionReason::NonPayment },
    ] {
        history.event(tenant(1), Stream::Tenant(tenant(1)), AnyEvent::Tenant(event));
    }
    let position = history.append().await;
    let place = Temporary::new(on).await;
    let engine_settings = EngineSettings { batch_max: 2, ..place.settings() };
    let projections = Projections::start(engine_settings, log, keyring).await.unwrap();
    let models = projections.models();
    models.wait_for(&[Model::Organisation], Partition(0), position, PATIENCE).await.unwrap();

    let own = Principal::unchecked(tenant(1), actor(1));
    let it = find(&models, &own).await.unwrap().unwrap();
    assert_eq!((it.name.as_str(), it.revision), ("One", 3));
    assert_eq!(it.standing, Standing::Suspended(SuspensionReason::NonPayment));
    let other = Principal::unchecked(tenant(2), actor(1));
    assert_eq!(find(&models, &other).await.unwrap(), None);
    assert!(matches!(count_registrations(&models, &own).await, Err(ReadError::Denied(_))));

    let operator = Principal::unchecked(TenantId::SYSTEM, ActorId::SYSTEM);
    assert_eq!(count_registrations(&models, &operator).await.unwrap(), 3);
    let mut window = Window::first(2);
    let page = list_registrations(&models, &operator, &window).await.unwrap();
    let slugs: Vec<_> = page.edges.iter().map(|it| it.cursor.clone()).collect();
    assert_eq!((slugs, page.has_next), (vec!["another".to_owned(), "tenant-1".to_owned()], true));
    window = window.after("tenant-1".to_owned());
    let page = list_registrations(&models, &operator, &window).await.unwrap();
    assert_eq!(page.into_nodes().next().unwrap().standing, Standing::Closed);
    let slug = "another".parse().unwrap();
    let it = find_registration_by_slug(&models, &operator, &slug).await.unwrap().unwrap();
    assert_eq!((it.tenant, it.hosts.as_slice()), (tenant(2), [host].as_slice()));
    assert_eq!(it.standing, Standing::Suspended(SuspensionReason::Abuse));
    let ids = [tenant(9), tenant(1)];
    let found = find_registrations(&models, &operator, &ids).await.unwrap();
    assert!(found[0].is_none() && found[1].is_some());
    projections.stop().await;
}
