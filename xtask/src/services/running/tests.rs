use std::process::Command;

use rustix::process::Signal;

use super::{Known, Left, Postgres, Running, started};

#[test]
fn a_process_is_known_by_its_start_too() {
    let rest = "1 71 71 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 30 0 8812 9 10 11";
    assert_eq!(started(&format!("71 (java) S {rest}")), Some(8812));
    assert_eq!(started(&format!("71 (a) S 1 (b)) S {rest}")), Some(8812));
    assert_eq!(started(&format!("71 (java) Z {rest}")), None);
    assert_eq!(started("71 (java) S 1 2"), None);

    let own = Known::find(std::process::id()).unwrap();
    assert!(own.runs());
    assert!(!Known { started: own.started + 1, ..own }.runs());
}

#[test]
fn what_runs_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("running.json");
    assert_eq!(Running::read_from(&file).unwrap(), Running::default());

    let own = Known::find(std::process::id()).unwrap();
    let left = Left { processes: vec![own], folder: folder.path().into() };
    let postgres = Some(Postgres { url: "postgres://there".into(), left });
    let running = Running { postgres, ..Running::default() };
    running.write_to(&file).unwrap();
    let read = Running::read_from(&file).unwrap();
    assert_eq!(read, running);
    assert_eq!((read.postgres(), read.kafka()), (Some("postgres://there"), None));
    assert_eq!(read.variables(), [("CALLBOARD_TEST_POSTGRES", "postgres://there".into())]);

    std::fs::write(&file, r#"{"kafka": {"port": 1}}"#).unwrap();
    let refused = Running::read_from(&file).unwrap_err().to_string();
    assert!(refused.contains("running.json is not ours"), "{refused}");
}

#[test]
fn what_is_left_is_stopped_and_removed() {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut child = Command::new("sleep").arg("3600").spawn().unwrap();
    let left = Left::from((vec![child.id()], folder.clone())).unwrap();
    assert!(left.runs());
    left.remove(Signal::TERM).unwrap();
    assert!(!folder.exists());
    assert!(!child.wait().unwrap().success());
}
