use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

const ACME: TenantId = TenantId::from_digest([1; 16]);
const APEX: TenantId = TenantId::from_digest([2; 16]);

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Directory>(given).decide(&when, NOW), then);
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn register(tenant: TenantId, name: &str) -> Command {
    let (slug, name) = (slug(name), name.parse().unwrap());
    Command::RegisterTenant { tenant, slug, name, partition: 0, owner: None }
}

fn registered(tenant: TenantId, name: &str) -> Event {
    let (slug, name) = (slug(name), name.parse().unwrap());
    Event::TenantRegistered { tenant, slug, name, partition: 0, owner: None, at: NOW }
}

fn change_slug(tenant: TenantId, to: &str) -> Command {
    Command::ChangeSlug { tenant, slug: slug(to) }
}

fn slug_changed(tenant: TenantId, to: &str) -> Event {
    Event::SlugChanged { tenant, slug: slug(to) }
}

fn add_host(tenant: TenantId, name: &str) -> Command {
    Command::AddHost { tenant, host: host(name) }
}

fn host_added(tenant: TenantId, name: &str) -> Event {
    Event::HostAdded { tenant, host: host(name) }
}

fn closed(tenant: TenantId) -> Event {
    Event::TenantClosed { tenant }
}

#[test]
fn a_tenant_is_registered_once() {
    check(&[], register(ACME, "acme"), Ok(vec![registered(ACME, "acme")]));
    let given = [registered(ACME, "acme")];
    check(&given, register(ACME, "acme"), Ok(vec![]));
    check(&given, register(ACME, "apex"), Err(Rejection::AlreadyRegistered(ACME)));
    check(&[], register(TenantId::SYSTEM, "acme"), Err(Rejection::SystemTenant));
}

#[test]
fn a_slug_is_never_given_to_a_second_tenant() {
    let taken = || Err(Rejection::SlugTaken(slug("acme")));
    check(&[registered(ACME, "acme")], register(APEX, "acme"), taken());
    // Not after its tenant goes by another one,
    let renamed = [registered(ACME, "acme"), slug_changed(ACME, "acme-se")];
    check(&renamed, register(APEX, "acme"), taken());
    let both = [&renamed[..], &[registered(APEX, "apex")]].concat();
    check(&both, change_slug(APEX, "acme"), taken());
    // and not after its tenant is gone.
    check(&[registered(ACME, "acme"), closed(ACME)], register(APEX, "acme"), taken());
}

#[test]
fn a_tenant_changes_its_slug_and_may_go_back() {
    check(&[], change_slug(ACME, "acme-se"), Err(Rejection::UnknownTenant(ACME)));
    let given = [registered(ACME, "acme"), slug_changed(ACME, "acme-se")];
    check(&given[..1], change_slug(ACME, "acme"), Ok(vec![]));
    check(&given[..1], change_slug(ACME, "acme-se"), Ok(vec![slug_changed(ACME, "acme-se")]));
    check(&given, change_slug(ACME, "acme"), Ok(vec![slug_changed(ACME, "acme")]));
    let directory = fold::<Directory>(&given);
    assert_eq!(directory.by_slug(&slug("acme-se")), Some(ACME));
    assert_eq!(directory.by_slug(&slug("acme")), None, "a former slug selects nobody");
}

#[test]
fn a_host_selects_one_tenant_until_it_is_removed() {
    let remove = |tenant| Command::RemoveHost { tenant, host: host("acme.example") };
    let removed = Event::HostRemoved { tenant: ACME, host: host("acme.example") };
    let given = [
        registered(ACME, "acme"),
        registered(APEX, "apex"),
        host_added(ACME, "acme.example"),
        removed.clone(),
    ];
    check(&given[..2], add_host(ACME, "acme.example"), Ok(vec![given[2].clone()]));
    check(&given[..3], add_host(ACME, "acme.example"), Ok(vec![]));
    let taken = Err(Rejection::HostTaken(host("acme.example")));
    check(&given[..3], add_host(APEX, "acme.example"), taken);
    check(&given[..3], remove(APEX), Ok(vec![]));
    check(&given[..3], remove(ACME), Ok(vec![removed]));
    check(&given, add_host(APEX, "acme.example"), Ok(vec![host_added(APEX, "acme.example")]));
    assert_eq!(fold::<Directory>(&given[..3]).by_host(&host("acme.example")), Some(ACME));
    assert_eq!(fold::<Directory>(&given).by_host(&host("acme.example")), None);
}

#[test]
fn a_tenant_has_a_bounded_number_of_hosts() {
    let hosts = (0..HOSTS_MAX).map(|it| host_added(ACME, &format!("h{it}.example")));
    let mut given = vec![registered(ACME, "acme")];
    given.extend(hosts);
    check(&given, add_host(ACME, "one.more"), Err(Rejection::TooManyHosts(ACME)));
    given.push(Event::HostRemoved { tenant: ACME, host: host("h0.example") });
    check(&given, add_host(ACME, "one.more"), Ok(vec![host_added(ACME, "one.more")]));
}

#[test]
fn operators_suspend_reactivate_and_close_tenants() {
    let suspend = |reason| Command::SuspendTenant { tenant: ACME, reason };
    let suspended = |reason| Event::TenantSuspended { tenant: ACME, reason };
    let reactivate = Command::ReactivateTenant { tenant: ACME };
    let close = Command::CloseTenant { tenant: ACME };
    let given = [registered(ACME, "acme"), suspended(SuspensionReason::Abuse), closed(ACME)];

    for command in [suspend(SuspensionReason::Abuse), reactivate.clone(), close.clone()] {
        check(&[], command, Err(Rejection::UnknownTenant(ACME)));
    }
    check(&given[..1], suspend(SuspensionReason::Abuse), Ok(vec![given[1].clone()]));
    check(&given[..2], suspend(SuspensionReason::Abuse), Ok(vec![]));
    let security = SuspensionReason::Security;
    check(&given[..2], suspend(security), Ok(vec![suspended(security)]));
    check(&given[..1], reactivate.clone(), Ok(vec![]));
    let reactivated = Event::TenantReactivated { tenant: ACME };
    check(&given[..2], reactivate.clone(), Ok(vec![reactivated]));
    check(&given[..2], close.clone(), Ok(vec![closed(ACME)]));
    check(&given, close, Ok(vec![]));
    for command in [suspend(security), reactivate, change_slug(ACME, "x-corp")] {
        check(&given, command, Err(Rejection::Closed(ACME)));
    }
}

#[test]
fn a_new_tenant_goes_where_the_fewest_are() {
    let on = |tenant: u8, partition| Event::TenantRegistered {
        tenant: TenantId::from_digest([tenant; 16]),
        slug: slug(&format!("tenant-{tenant}")),
        name: "Tenant".parse().unwrap(),
        partition,
        owner: None,
        at: NOW,
    };
    assert_eq!(Directory::default().least_loaded(3), 0);
    let mut given = vec![on(1, 0), on(2, 1), on(3, 2)];
    assert_eq!(fold::<Directory>(&given).least_loaded(3), 0);
    given.push(on(4, 0));
    assert_eq!(fold::<Directory>(&given).least_loaded(3), 1);
    assert_eq!(fold::<Directory>(&given).least_loaded(4), 3, "a new partition is empty");
    given.push(closed(TenantId::from_digest([3; 16])));
    assert_eq!(fold::<Directory>(&given).least_loaded(3), 2, "closed tenants weigh nothing");
}

fn raise(to: u32, spoken: u32) -> Command {
    Command::RaiseLevel { to: Level(to), spoken: Level(spoken) }
}

fn raised(to: u32) -> Event {
    Event::LevelRaised { to: Level(to), at: NOW }
}

#[test]
fn the_level_is_raised_one_by_one_to_what_all_processes_speak() {
    check(&[], raise(2, 2), Ok(vec![raised(2)]));
    check(&[raised(2)], raise(3, 4), Ok(vec![raised(3)]));
    let not_spoken = Rejection::LevelNotSpoken { spoken: Level(1), to: Level(2) };
    check(&[], raise(2, 1), Err(not_spoken));
    let skipped = Rejection::LevelSkipped { level: Level(1), to: Level(3) };
    check(&[], raise(3, 3), Err(skipped));
    // What holds already may be asked for again, and never goes back.
    check(&[raised(2)], raise(2, 1), Ok(vec![]));
    check(&[raised(2)], raise(1, 2), Ok(vec![]));
    assert_eq!(Directory::default().level(), Level::FIRST);
    assert_eq!(fold::<Directory>(&[raised(2), raised(3)]).level(), Level(3));
}

#[test]
fn an_installation_begins_with_the_level_of_its_first_binary() {
    let directory = fold::<Directory>(&[registered(ACME, "acme")]);
    let events = Directory::default().decide(&register(ACME, "acme"), NOW).unwrap();
    assert_eq!(fold::<Directory>(&events).level(), Level::SPOKEN);
    // One that is older than levels keeps the first, whatever registers its next tenant.
    assert_eq!(directory.decide(&register(APEX, "apex"), NOW), Ok(vec![registered(APEX, "apex")]));
}

#[test]
fn a_snapshot_restores_the_directory() {
    let given = [
        registered(ACME, "acme"),
        registered(APEX, "apex"),
        slug_changed(ACME, "acme-se"),
        host_added(APEX, "apex.example"),
        closed(ACME),
        raised(2),
    ];
    let directory = fold::<Directory>(&given);
    let restored = Directory::from_parts(
        directory.recorded_level(),
        directory.entries().map(|(tenant, entry)| (tenant, entry.clone())),
        directory.slugs().map(|(slug, tenant)| (slug.clone(), tenant)),
        directory.hosts().map(|(host, tenant)| (host.clone(), tenant)),
    );
    assert_eq!(restored, directory);
}

#[test]
fn slugs_and_hosts_are_labels_in_lower_case() {
    for text in ["acme", "a1-b2", &"a".repeat(40)] {
        assert!(text.parse::<Slug>().is_ok(), "{text} was refused");
    }
    for text in ["ab", "Acme", "1acme", "acme-", "a--b", "a_b", "api", &"a".repeat(41)] {
        assert!(text.parse::<Slug>().is_err(), "{text} was accepted");
    }
    for text in ["portal.example.com", "xn--bcher-kva.example", "a.b"] {
        assert!(text.parse::<Host>().is_ok(), "{text} was refused");
    }
    for text in ["localhost", "Portal.example", "a..b", "-a.b", "a.b:80", "a.b.", "a_b.c"] {
        assert!(text.parse::<Host>().is_err(), "{text} was accepted");
    }
}

#[test]
fn a_registration_of_before_there_were_owners_is_still_read() {
    let tenant = ACME.to_string();
    let stored = serde_json::json!({
        "tenant": tenant, "slug": "acme", "name": "acme", "partition": 0, "at": NOW,
    });
    let full_type = "callboard.directory.tenant-registered.v1";
    let read = crate::Event::decode(full_type, stored.to_string().as_bytes()).unwrap();
    assert_eq!(read, crate::Event::Directory(registered(ACME, "acme")));
}

fn any_command() -> impl Strategy<Value = Command> {
    let tenant = || prop::sample::select(vec![ACME, APEX]);
    let name = || prop::sample::select(vec!["acme", "apex", "x-corp"]);
    let host = || prop::sample::select(vec!["a.example", "b.example"]);
    prop_oneof![
        (tenant(), name()).prop_map(|(tenant, name)| register(tenant, name)),
        (tenant(), name()).prop_map(|(tenant, name)| change_slug(tenant, name)),
        (tenant(), host()).prop_map(|(tenant, name)| add_host(tenant, name)),
        (tenant(), host())
            .prop_map(|(tenant, name)| Command::RemoveHost { tenant, host: name.parse().unwrap() }),
        tenant().prop_map(|tenant| Command::SuspendTenant {
            tenant,
            reason: SuspensionReason::Requested
        }),
        tenant().prop_map(|tenant| Command::ReactivateTenant { tenant }),
        tenant().prop_map(|tenant| Command::CloseTenant { tenant }),
        (1..4_u32, 1..4_u32).prop_map(|(to, spoken)| raise(to, spoken)),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..20),
        command in any_command(),
    ) {
        let mut directory = Directory::default();
        for command in history.iter().chain([&command]) {
            let events = directory.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| directory.evolve(it));
        }
        prop_assert_eq!(directory.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
