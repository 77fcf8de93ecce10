use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;

use super::{Process, Purpose, command, last_lines, until};

/// A process that does nothing for long.
fn sleeper(purpose: Purpose) -> Process {
    let mut command = command(Path::new("sleep"), purpose, None);
    command.arg("3600");
    Process::start(command, Path::new("/dev/null")).unwrap()
}

fn files(process: u32) -> PathBuf {
    Path::new("/proc").join(process.to_string())
}

#[test]
fn a_process_outlives_the_thread_that_wanted_it_and_ends_with_its_value() {
    let mut process = thread::spawn(|| sleeper(Purpose::Tests)).join().unwrap();
    let started = || {
        Ok(std::fs::read_to_string(files(process.id()).join("comm"))?
            .starts_with("sleep")
            .then_some(()))
    };
    until("it is the program itself", started).unwrap();
    assert_eq!(process.ended().unwrap(), None);
    let files = files(process.id());
    drop(process);
    assert!(!files.exists());
}

#[test]
fn a_process_that_is_paused_can_be_stopped() {
    let process = sleeper(Purpose::Tests);
    let files = files(process.id());
    process.signal(Signal::STOP).unwrap();
    process.stop(Signal::TERM).unwrap();
    assert!(!files.exists());
}

#[test]
fn only_the_end_of_a_log_is_shown() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<String> = (1..=30).map(|it| format!("line {it}")).collect();
    std::fs::write(log.path(), lines.join("\n")).unwrap();
    let shown = last_lines(log.path());
    assert!(shown.starts_with("line 11\n") && shown.ends_with("line 30"), "{shown}");
    assert_eq!(last_lines(Path::new("/nowhere")), "");
}
