use std::process::Command;

use super::{Counts, run};

#[track_caller]
fn check(line: &str, then: Counts) {
    assert_eq!(Counts::of_line(line), then);
}

#[test]
fn counts_what_a_test_harness_reports() {
    check(
        "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.0s",
        Counts { passed: 12, skipped: 1, ..Counts::default() },
    );
    check(
        "test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        Counts { passed: 2, failed: 5, ..Counts::default() },
    );
    check(
        "test journeys::shared_data::imports_samples ... ok",
        Counts { shared: 1, ..Counts::default() },
    );
    check("test journeys::registers_an_entity ... ok", Counts::default());
    check("test result: of an unknown kind", Counts::default());
    check("12 passed; 0 failed", Counts::default());
}

#[test]
fn a_failing_command_is_a_failed_step() {
    let step = |command| run(command, &mut Command::new(command)).expect("it starts").ok;
    assert!(step("true"));
    assert!(!step("false"));
}
