use std::process::Command;

use super::{Counts, run};

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
        &Counts { shared: 1, ..Counts::default() },
    );
    check(&["12 passed; 0 failed", "test result: unheard of", "a test ... ok"], &Counts::default());
}

#[test]
fn a_failing_command_is_a_failed_step() {
    let step = |command| run(command, &mut Command::new(command)).expect("it starts").ok;
    assert!(step("true"));
    assert!(!step("false"));
}
