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

#[test]
fn a_connection_of_a_producer_never_rests_so_long_that_its_loss_would_not_be_mentioned() {
    let config = cluster::somewhere("nowhere:1".to_owned()).producer("id");
    let rest: u64 = config.get("connections.max.idle.ms").unwrap().parse().unwrap();
    // The client mentions it up to 60 s after the last request, whose answer may take 5 s.
    assert!((1..=55_000).contains(&rest), "{rest}");
}
