use super::*;
use crate::customer::Role;
use crate::id::SubjectId;
use crate::personal::{Content, Digest};

fn opened(content: Content) -> Event {
    let name = Personal { subject: SubjectId(uuid::Uuid::nil()), digest: Digest([7; 16]), content };
    Event::Customer(customer::Event::Opened {
        role: Role::Customer,
        name,
        contact: None,
        currency: "EUR".parse().unwrap(),
        time_zone: chrono_tz::Europe::Berlin,
    })
}

#[test]
fn an_event_is_read_back_from_its_type_and_value() {
    let event = opened(Content::Sealed(Box::new([1, 2, 3])));
    let encoded = event.encode(Level::SPOKEN).unwrap();
    assert_eq!(encoded.name(), "customer.opened.v1");
    assert_eq!(event.name(), "customer.opened.v1");
    assert!(encoded.value().starts_with(br#"{"role":"customer""#));
    let decoded = Event::decode("callboard.customer.opened.v1", encoded.value()).unwrap();
    assert_eq!(decoded, event);
}

#[test]
fn an_event_without_fields_is_an_empty_object() {
    let event = Event::Tenant(tenant::Event::Reactivated {});
    let encoded = event.encode(Level::SPOKEN).unwrap();
    assert_eq!((encoded.name(), encoded.value()), ("tenant.reactivated.v1", &b"{}"[..]));
    assert_eq!(Event::decode("callboard.tenant.reactivated.v1", b"{}").unwrap(), event);
}

#[test]
fn personal_data_that_is_not_sealed_cannot_be_stored() {
    let error = opened(Content::Plain("Ada".to_owned())).encode(Level::SPOKEN).unwrap_err();
    assert_eq!(error.to_string(), "personal data must be sealed before it is stored");
}

#[test]
fn unknown_types_and_ill_fitting_values_are_named() {
    for unknown in ["customer.opened.v1", "callboard.customer", "callboard.ghost.seen.v1"] {
        let error = Event::decode(unknown, b"{}").unwrap_err();
        assert_eq!(error.to_string(), format!("unknown event type `{unknown}`"));
    }
    assert!(Event::decode("callboard.customer.opened.v9", b"{}").is_err());
    assert!(Event::decode("callboard.tenant.renamed.v1", b"{\"name\":\"a\"} x").is_err());
}
