use std::process::Command;

use super::{Counts, Need, run, timed};

#[track_caller]
fn check(lines: &[&str], then: &Counts) {
    let mut counts = Counts::default();
    lines.iter().for_each(|it| counts.read(it));
    assert_eq!(counts, *then);
}

#[test]
fn counts_what_test_harnesses_report() {
    check(
        &[
            "running 13 tests",
            "test plan::publishes ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0s",
            "test log::syncs ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        ],
        &Counts {
            passed: 14,
            failed: 1,
            skipped: 1,
            failures: vec!["log::syncs".into()],
            ..Counts::default()
        },
    );
    check(
        &["test journeys::shared_data::imports_samples ... ok"],
        &Counts { needing: [(Need::SharedData, 1)].into(), ..Counts::default() },
    );
    check(
        &["test kafka::on_kafka::keeps_order ... ok", "test on_kafka::on_postgres::agree ... ok"],
        &Counts { needing: [(Need::Kafka, 2), (Need::Postgres, 1)].into(), ..Counts::default() },
    );
    check(
        &["test at_keycloak::enters ... ok", "test at_oidc_provider::enters ... ok"],
        &Counts {
            needing: [(Need::Keycloak, 1), (Need::OidcProvider, 1)].into(),
            ..Counts::default()
        },
    );
    check(&["12 passed; 0 failed", "test result: unheard of", "a test ... ok"], &Counts::default());
}

#[test]
fn a_failing_command_is_a_failed_step() {
    let step = |command| run(command, &mut Command::new(command)).expect("it starts").ok;
    assert!(step("true"));
    assert!(!step("false"));
}

#[test]
fn work_that_fails_is_a_failed_step_without_a_value() {
    let (outcome, value) = timed("work", || Ok(1));
    assert_eq!((outcome.ok, value), (true, Some(1)));
    let (outcome, value) = timed::<u32>("work", || anyhow::bail!("on purpose"));
    assert_eq!((outcome.ok, value), (false, None));
}
