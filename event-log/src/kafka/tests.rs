//! The adapter against a real broker: the contract, and what only Kafka can do wrong.
//!
//! The tests on a broker are in `on_kafka`. They return at once, and say so, where
//! `CALLBOARD_TEST_KAFKA` does not name one.

mod cluster;
mod on_kafka;
mod proxy;
mod raw;

#[test]
fn a_password_does_not_show() {
    let password = super::Password::new("open sesame".to_owned());
    let security = super::Security::Sasl {
        tls: None,
        mechanism: super::Mechanism::Plain,
        user: "ali".to_owned(),
        password,
    };
    let config = super::KafkaConfig { security, ..cluster::somewhere("nowhere:1".to_owned()) };
    let shown = format!("{config:?} {:?}", config.producer("id"));
    assert!(shown.contains("ali") && !shown.contains("sesame"), "{shown}");
    assert_eq!(config.producer("id").get("sasl.password"), Some("open sesame"));
}
