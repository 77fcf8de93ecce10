use std::sync::Arc;

use chrono::TimeDelta;
use domain::id::MeterId;
use domain::{Event, meter, usage};
use event_log::{EventLog, MemoryLog};

use super::*;
use crate::Projections;
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::{BEGIN, History, actor, keyring, tenant};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn archived() -> Event {
    Event::Meter(meter::Event::Archived {})
}

fn recorded() -> Event {
    Event::Usage(usage::Event::Recorded { entries: vec![], others: vec![], consumed: vec![] })
}

on_each_kind! {
    every_event_is_found_by_all_that_stands_around_it
    what_a_command_has_caused_is_told_up_to_a_bound
}

async fn every_event_is_found_by_all_that_stands_around_it(on: Kind) {
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let stream = Stream::Meter(MeterId(Uuid::from_u128(1)));
    history.command(tenant(1), &[(stream, archived()), (Stream::Usage, recorded())]);
    history.actor = actor(2);
    history.event(tenant(1), stream, archived());
    history.event(tenant(2), stream, archived());
    let position = history.append().await;
    let place = Temporary::new(on).await;
    let projections = Projections::start(place.settings(), log, keyring).await.unwrap();
    let models = projections.models();
    models.wait_for(&[Model::Audit], Partition(0), position, PATIENCE).await.unwrap();

    let own = Principal::unchecked(tenant(1), actor(1));
    let all = AuditFilter::default();
    let page = list(&models, &own, &all, &Window::first(2)).await.unwrap();
    let sequences: Vec<_> = page.edges.iter().map(|it| it.cursor).collect();
    assert_eq!((sequences, page.has_next), (vec![3, 2], true));
    let rest = list(&models, &own, &all, &Window::first(2).after(2)).await.unwrap();
    let first = rest.into_nodes().next().unwrap();
    assert_eq!((first.sequence, first.batch_position.as_str()), (1, "1/2"));
    assert_eq!((first.name.as_str(), first.stream), ("meter.archived.v1", stream));
    let back = list(&models, &own, &all, &Window::last(2)).await.unwrap();
    assert_eq!(back.edges.iter().map(|it| it.cursor).collect::<Vec<_>>(), [2, 1]);

    let begin: DateTime<Utc> = BEGIN.parse().unwrap();
    let named = |it: &str| AuditFilter { names: vec![it.to_owned()], ..AuditFilter::default() };
    let default = AuditFilter::default;
    for (filter, count_of) in [
        (named("meter"), 2),
        (named("meter.archived"), 2),
        (named("meter.archived.v1"), 2),
        (named("meter.arch"), 0),
        (named("usage"), 1),
        (AuditFilter { actor: Some(actor(2)), ..default() }, 1),
        (AuditFilter { stream: Some(stream), ..default() }, 2),
        (AuditFilter { stream: Some(stream), actor: Some(actor(1)), ..default() }, 1),
        (AuditFilter { command: Some(first.command), ..default() }, 2),
        (AuditFilter { correlation: first.correlation, ..default() }, 2),
        (AuditFilter { to: Some(begin + TimeDelta::seconds(2)), ..default() }, 2),
        (AuditFilter { from: Some(begin + TimeDelta::seconds(2)), ..default() }, 1),
    ] {
        assert_eq!(count(&models, &own, &filter).await.unwrap(), count_of, "{filter:?}");
    }
    let ids = [first.id, EventId(Uuid::nil())];
    assert_eq!(find_many(&models, &own, &ids).await.unwrap(), [Some(first.clone()), None]);
    let of = |count| AuditFilter { names: vec!["usage".to_owned(); count], ..default() };
    assert_eq!(count(&models, &own, &of(NAMES_MAX)).await.unwrap(), 1);
    let refused = count(&models, &own, &of(NAMES_MAX + 1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected at most 100 types of events, got 101");
    let foreign = Principal::unchecked(tenant(2), actor(1));
    assert_eq!(find_many(&models, &foreign, &[first.id]).await.unwrap(), [None]);
    assert_eq!(count(&models, &foreign, &all).await.unwrap(), 1);
    let too_much = list(&models, &own, &all, &Window::first(1_001)).await;
    assert!(matches!(too_much, Err(ReadError::Invalid(_))));
    projections.stop().await;
}

/// Commands of tenants that have caused ever more, by step or at once.
async fn what_a_command_has_caused_is_told_up_to_a_bound(on: Kind) {
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let stream = Stream::Meter(MeterId(Uuid::from_u128(1)));
    // By how many steps, and how many events each of the steps after the first has.
    let cases = [(0, 0), (1, 1), (2, 3), (15, 1), (16, 1), (1, 999), (1, 1_000), (2, 600)];
    for (number, (steps, width)) in (1_u128..).zip(cases) {
        history.cause = None;
        history.event(tenant(number), stream, archived());
        for _ in 0..steps {
            history.cause = Some(history.last);
            (0..width).for_each(|_| history.event(tenant(number), stream, archived()));
        }
    }
    let position = history.append().await;
    let place = Temporary::new(on).await;
    let projections = Projections::start(place.settings(), log, keyring).await.unwrap();
    let models = projections.models();
    models.wait_for(&[Model::Audit], Partition(0), position, PATIENCE).await.unwrap();
    for (number, (steps, width)) in (1_u128..).zip(cases) {
        let own = Principal::unchecked(tenant(number), actor(1));
        let first = list(&models, &own, &AuditFilter::default(), &Window::last(1)).await.unwrap();
        let first = first.into_nodes().next().unwrap();
        let found = tree(&models, &own, first.command).await.unwrap();
        let all = 1 + steps as usize * width;
        let is_cut = all > 1_000 || steps == STEPS_MAX;
        let told = (found.caused.len(), found.is_cut);
        assert_eq!(told, (all.min(1_000), is_cut), "{steps} steps of {width}");
        let by_step: Vec<_> = found.caused.iter().map(|it| (it.step, it.row.sequence)).collect();
        assert!(by_step.is_sorted(), "{by_step:?}");
        assert_eq!(by_step.last().unwrap().0, steps, "{steps} steps of {width}");
        let foreign = Principal::unchecked(tenant(99), actor(1));
        assert_eq!(tree(&models, &foreign, first.command).await.unwrap(), CausalTree::default());
    }
    projections.stop().await;
}
