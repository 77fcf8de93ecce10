use std::sync::Arc;

use chrono::TimeDelta;
use domain::{Event, Stream, request, usage};
use event_log::{EventLog, MemoryLog, Partition};
use serde_json::json;

use super::*;
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::{History, actor, keyring, tenant};
use crate::{Projections, Settings};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

on_each_kind! {
    days_count_entities_people_and_commands
}

async fn days_count_entities_people_and_commands(on: Kind) {
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let component = |name: &str| json!({ "kind": "Component", "metadata": { "name": name } });
    let first = history.register(tenant(1), &component("a"), None).await;
    history.register(tenant(1), &component("b"), None).await;
    let recorded = usage::Event::Recorded { entries: vec![], others: vec![], consumed: vec![] };
    let recorded = (Stream::Usage, Event::Usage(recorded));
    history.command(tenant(1), &[recorded.clone(), recorded]);
    // What changed nothing is no change.
    let noted = (Stream::Requests, Event::Request(request::Event::noted(&[])));
    history.command(tenant(1), &[noted]);
    history.now += TimeDelta::days(2);
    history.actor = ActorId::SYSTEM;
    history.deregister(tenant(1), first);
    history.actor = actor(2);
    history.update(tenant(1), &component("b"), None).await;
    let position = history.append().await;

    let place = Temporary::new(on).await;
    let settings = Settings { batch_max: 2, ..place.settings() };
    let projections = Projections::start(settings, log, keyring).await.unwrap();
    let models = projections.models();
    models.wait_for(&[Model::Analytics], Partition(0), position, PATIENCE).await.unwrap();
    let date = |day| NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
    let own = Principal::unchecked(tenant(1), actor(1));
    let all = days(&models, &own, date(1), date(9)).await.unwrap();
    let expected = [
        Day {
            date: date(1),
            entities: 2,
            registered: 2,
            updated: 0,
            deregistered: 0,
            active_actors: 1,
            commands: 3,
            commands_by_noun: vec![("entity".to_owned(), 2), ("usage".to_owned(), 1)],
        },
        Day {
            date: date(3),
            entities: 1,
            registered: 0,
            updated: 1,
            deregistered: 1,
            active_actors: 1,
            commands: 2,
            commands_by_noun: vec![("entity".to_owned(), 2)],
        },
    ];
    assert_eq!(all, expected);
    assert_eq!(days(&models, &own, date(3), date(3)).await.unwrap(), expected[1..]);
    let foreign = Principal::unchecked(tenant(2), actor(1));
    assert!(days(&models, &foreign, date(1), date(9)).await.unwrap().is_empty());
    let backwards = days(&models, &own, date(2), date(1)).await;
    assert!(matches!(backwards, Err(ReadError::Invalid(_))));
    projections.stop().await;
}
