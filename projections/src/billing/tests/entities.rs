//! Usage on behalf of entities.

use domain::id::EntityId;

use super::*;
use crate::billing::usage::entities::{ENTITIES_MAX, of_many};
use crate::store::Sql;

const WEB: &str = "component:default/web";
const API: &str = "api:shop/orders";

/// An entry of `api.calls` on behalf of whatever the text names.
fn for_entity(text: &str, at: DateTime<Utc>, value: &str) -> Entry {
    let dimensions = BTreeMap::from([("entity".into(), text.into())]);
    Entry { dimensions, ..entry(customer(1), "api.calls", at, value) }
}

async fn ids(world: &World, references: &[&str]) -> Vec<EntityId> {
    let keys = world.history.keyring.tenant(tenant(1)).await.unwrap();
    references.iter().map(|it| keys.entity_id(it)).collect()
}

fn first_days(step: Step) -> EntityUsageQuery {
    EntityUsageQuery { meters: vec![], from: begin(), to: begin() + TimeDelta::days(3), step }
}

/// Meter, number, sum, latest and the sums of the spans.
fn shown(report: &UsageReport<EntityUsage>) -> Vec<String> {
    let row = |it: &EntityUsage| {
        let spans =
            it.buckets.iter().map(|it| format!("{}h {}", (it.start - begin()).num_hours(), it.sum));
        let EntityUsage { meter, total, .. } = it;
        let spans = spans.collect::<Vec<_>>().join(", ");
        format!("{} {}: {} last {} = {spans}", meter.as_str(), total.count, total.sum, total.latest)
    };
    report.rows.iter().map(row).collect()
}

async fn rows(models: &ReadModels) -> Vec<crate::store::Row> {
    let mut reader = models.reader(Model::Billing, tenant(1)).await.unwrap();
    let rows = Sql::new("SELECT * FROM usage_entity_hours").fetch(&mut reader).await.unwrap();
    reader.finish();
    rows
}

on_each_kind! {
    usage_belongs_to_the_entity_it_names_in_whatever_case
    made_up_references_leave_no_more_rows_than_entries_and_no_names
    questions_about_entities_are_bounded_like_those_about_customers
}

async fn usage_belongs_to_the_entity_it_names_in_whatever_case(on: Kind) {
    for batch_max in [1, 8_192] {
        let mut world = World::new(on, batch_max).await;
        let at = |hours| begin() + TimeDelta::hours(hours);
        let mut storage = for_entity("Component:Default/Web", at(2), "7");
        (storage.meter, storage.customer) = (key("a.storage"), customer(2));
        let events = [
            vec![for_entity(WEB, at(0), "1"), for_entity("COMPONENT:default/WEB", at(0), "2")],
            vec![for_entity("component:web", at(30), "-0.000000000001"), storage],
            vec![for_entity(WEB, at(1), "4"), for_entity("API:shop/Orders", at(71), "5")],
            vec![entry(customer(1), "api.calls", at(0), "100"), for_entity(WEB, at(72), "100")],
        ];
        for entries in events {
            world.history.event(tenant(1), Stream::Usage, recorded(entries));
        }
        // The names are the same, the entity is another tenant's.
        let foreign = recorded(vec![for_entity(WEB, at(0), "1000")]);
        world.history.event(tenant(2), Stream::Usage, foreign);
        let entities = ids(&world, &[API, "component:default/none", WEB]).await;
        let models = world.read().await;
        let own = member(tenant(1));
        let hours = of_many(&models, &own, &entities, &first_days(Step::Hour)).await.unwrap();
        assert_eq!(shown(&hours[0]), ["api.calls 1: 5 last 5 = 71h 5"]);
        assert_eq!(shown(&hours[1]), [""; 0]);
        assert_eq!(hours.iter().map(|it| it.sequence).collect::<Vec<_>>(), [4; 3]);
        assert_eq!(hours[1].complete_through, Some(begin()));
        let expected = [
            "a.storage 1: 7 last 7 = 2h 7",
            "api.calls 4: 6.999999999999 last -0.000000000001 = \
             0h 3, 1h 4, 30h -0.000000000001",
        ];
        assert_eq!(shown(&hours[2]), expected);

        let calls = EntityUsageQuery { meters: vec![key("api.calls")], ..first_days(Step::Day) };
        let days = of_many(&models, &own, &entities, &calls).await.unwrap();
        let expected = ["api.calls 4: 6.999999999999 last -0.000000000001 = \
                         0h 7, 24h -0.000000000001"];
        assert_eq!(shown(&days[2]), expected);

        // What is folded batch by batch is what is folded at once.
        world.projections.rebuild(Model::Billing).await.unwrap();
        let models = world.projections.models();
        let again = of_many(&models, &own, &entities, &first_days(Step::Hour)).await.unwrap();
        assert_eq!(again, hours);
        // A tenant that knows another's ids, which it cannot, sees nothing by them.
        let other = member(tenant(2));
        let seen = of_many(&models, &other, &entities, &first_days(Step::Hour)).await.unwrap();
        assert!(seen.iter().all(|it| it.rows.is_empty()), "{seen:?}");
        world.projections.stop().await;
    }
}

async fn made_up_references_leave_no_more_rows_than_entries_and_no_names(on: Kind) {
    let mut world = World::new(on, 8_192).await;
    world.history.keyring.tenant(tenant(1)).await.unwrap();
    let hostile = ["", "web", "a/b", ":", "api:default/", "api:pet store", "api:default/a/b"];
    let long = format!("component:default/{}", "x".repeat(64));
    let mut texts: Vec<String> = hostile.map(str::to_owned).to_vec();
    texts.push(long);
    let entries = texts.iter().map(|it| for_entity(it, begin(), "1")).collect();
    world.history.event(tenant(1), Stream::Usage, recorded(entries));
    let models = world.read().await;
    assert_eq!(rows(&models).await.len(), 0);

    let unknown = (0..1_000).map(|it| for_entity(&format!("api:default/pets.{it}"), begin(), "1"));
    let unknown: Vec<_> = unknown.collect();
    let accepted = unknown.len();
    world.history.event(tenant(1), Stream::Usage, recorded(unknown.clone()));
    world.history.event(tenant(1), Stream::Usage, recorded(unknown));
    let models = world.read().await;
    let rows = rows(&models).await;
    assert_eq!(rows.len(), accepted, "an hour of each");
    for row in &rows {
        let texts = (0..5).filter_map(|it| row.text(it).ok());
        assert!(!texts.into_iter().any(|it| it.contains("pets")));
        assert_eq!(row.text(4).unwrap().split(' ').nth(2), Some("2"), "entries");
    }
    world.projections.stop().await;
}

async fn questions_about_entities_are_bounded_like_those_about_customers(on: Kind) {
    let mut world = World::new(on, 8_192).await;
    let entities = ids(&world, &[WEB, API]).await;
    let hour = |it| for_entity(WEB, begin() + TimeDelta::hours(it), "1");
    let most = i64::try_from(usage::SPANS_MAX).unwrap();
    for first in (0..most).step_by(1_000) {
        let entries = (first..first + 1_000).map(hour).collect();
        world.history.event(tenant(1), Stream::Usage, recorded(entries));
    }
    world.history.event(tenant(1), Stream::Usage, recorded(vec![for_entity(API, begin(), "1")]));
    let models = world.read().await;
    let own = member(tenant(1));
    let all = |step| EntityUsageQuery { to: begin() + TimeDelta::hours(most), ..first_days(step) };
    let fits = of_many(&models, &own, &entities[..1], &all(Step::Hour)).await.unwrap();
    assert_eq!(fits[0].rows[0].buckets.len(), usage::SPANS_MAX);
    let check = async |entities: &[EntityId], query: EntityUsageQuery, expected: &str| {
        let refused = of_many(&models, &own, entities, &query).await.unwrap_err();
        assert!(matches!(refused, ReadError::Invalid(_)));
        assert_eq!(refused.to_string(), expected);
    };
    let expected = "expected usage of at most 10000 spans, got more for 2 entities `from` \
                    2026-01-01 00:00:00 UTC `to` 2027-02-21 16:00:00 UTC; ask for fewer entities \
                    or `meters`, a shorter time, or a longer `step`";
    check(&entities, all(Step::Hour), expected).await;
    let days = of_many(&models, &own, &entities, &all(Step::Day)).await.unwrap();
    assert_eq!(days[0].rows[0].buckets.len(), 417);

    let expected =
        "expected `from` before `to`, got 2026-01-01 00:00:00 UTC and 2026-01-01 00:00:00 UTC";
    check(&entities, EntityUsageQuery { to: begin(), ..first_days(Step::Day) }, expected).await;
    let late = begin() + TimeDelta::minutes(30);
    let expected = "expected the beginning of an hour in UTC, got 2026-01-01 00:30:00 UTC";
    check(&entities, EntityUsageQuery { from: late, ..first_days(Step::Day) }, expected).await;
    let crowd = vec![entities[0]; ENTITIES_MAX + 1];
    check(&crowd, first_days(Step::Day), "expected at most 500 entities, got 501").await;
    let meters = vec![key("api.calls"); usage::METERS_MAX + 1];
    let crowd = EntityUsageQuery { meters, ..first_days(Step::Day) };
    check(&entities, crowd, "expected at most 1000 meters, got 1001").await;

    // Who may not read usage is refused it here as there.
    let operator = member(TenantId::SYSTEM);
    let here = of_many(&models, &operator, &entities, &first_days(Step::Day)).await.unwrap_err();
    let there = usage::totals(&models, &operator, &question(None)).await.unwrap_err();
    assert!(matches!(there, ReadError::Denied(_)));
    assert_eq!(here.to_string(), there.to_string());
    world.projections.stop().await;
}
