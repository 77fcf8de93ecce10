use std::sync::Arc;

use domain::tenant;
use vault::{MemoryVault, Root};

use super::*;

async fn keyring() -> Keyring {
    let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

fn tenant_id() -> TenantId {
    TenantId(Uuid::from_u128(5))
}

/// Writes one event and reads it back.
async fn round_trip(values: Values, request: Option<RequestHash>) -> (Record, Header, Event) {
    let keyring = keyring().await;
    let keys = keyring.tenant(tenant_id()).await.unwrap();
    let mut writer = RecordWriter::new("callboard/test".to_owned(), values);
    let now: DateTime<Utc> = "2026-03-01T12:00:00.123456Z".parse().unwrap();
    writer.at(now, Level::SPOKEN);
    let event = Event::Tenant(tenant::Event::Reactivated {});
    let command = CommandId(Uuid::from_u128(6));
    let origin = Origin {
        tenant: tenant_id(),
        command,
        request,
        correlation: command.0,
        causation: None,
        actor: ActorId::SYSTEM,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    };
    let stream = Stream::Tenant(tenant_id());
    let previous = Link::GENESIS;
    let fact = Fact { stream, revision: 3, sequence: 7, place: (1, 2), event: &event, previous };
    let (id, record) = writer.write(&origin, &fact, &keys).unwrap();
    let header = Header::of(&record).unwrap();
    let expected = Header {
        id,
        tenant: tenant_id(),
        stream,
        sequence: 7,
        revision: 3,
        place: 1,
        command,
        request,
        time: now,
    };
    assert_eq!(header, expected);
    let read = read_event(&record, &header, &keyring).await.unwrap().unwrap();
    assert_eq!(read, event);
    (record, header, read)
}

#[tokio::test]
async fn a_record_says_what_was_written() {
    let (record, _, _) = round_trip(Values::Plain, None).await;
    let text = |it| record.attribute(it);
    assert_eq!(text(Attribute::SpecVersion), "1.0");
    assert_eq!(text(Attribute::Type), "callboard.tenant.reactivated.v1");
    assert_eq!(text(Attribute::DataSchema), "/schemas/events/tenant.reactivated.v1.json");
    assert_eq!(text(Attribute::Time), "2026-03-01T12:00:00.123456Z");
    assert_eq!(text(Attribute::BatchPos), "1/2");
    assert_eq!(text(Attribute::PartitionKey), text(Attribute::Tenant));
    assert_eq!(text(Attribute::CommandId), CommandId(Uuid::from_u128(6)).to_string());
    assert_eq!(text(Attribute::CausationId), text(Attribute::CommandId));
    assert_eq!(text(Attribute::Actor), ActorId::SYSTEM.to_string());
    assert_eq!(record.value(), "{}");
    assert!(record.traceparent().is_some());
}

#[tokio::test]
async fn the_digest_of_a_keyed_request_stands_beside_its_command() {
    let (record, _, _) = round_trip(Values::Plain, Some(RequestHash(0xabc))).await;
    let command = record.attribute(Attribute::CommandId);
    assert!(command.ends_with(".0000000000000abc"), "{command}");
}

#[tokio::test]
async fn a_sealed_value_is_read_back_only_in_its_place() {
    let (record, header, _) = round_trip(Values::Sealed, None).await;
    assert_eq!(record.attribute(Attribute::ContentType), SEALED);
    assert_ne!(record.value(), "{}");
    let elsewhere = Header { sequence: 8, ..header };
    let keys = keyring().await.tenant(tenant_id()).await.unwrap();
    assert!(matches!(decode(&record, &elsewhere, Some(&keys)), Err(ReadError::Forged(_))));
}

#[tokio::test]
async fn what_was_recorded_by_an_erased_tenant_is_gone_but_its_place() {
    let (record, header, _) = round_trip(Values::Sealed, None).await;
    let keyring = keyring().await;
    keyring.destroy_tenant(tenant_id()).await.unwrap();
    assert_eq!(read_event(&record, &header, &keyring).await.unwrap(), None);
}

#[test]
fn identities_of_events_grow_and_tell_the_recorded_time() {
    let mut ids = EventIds::default();
    let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    ids.at(now);
    let drawn: Vec<_> = (0..1_000).map(|_| ids.next()).collect();
    assert!(drawn.is_sorted());
    for id in drawn {
        assert_eq!((id.0.get_version_num(), id.0.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, _) = id.0.get_timestamp().unwrap().to_unix();
        assert_eq!(i64::try_from(seconds), Ok(now.timestamp()));
    }
}
