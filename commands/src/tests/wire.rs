//! Requests and what is answered pass from one process to another and lose nothing.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use domain::id::{CommandId, EntityId, EventId, TenantId};
use domain::operation::{ExpectedRevision, Operation};
use domain::principal::{Denied, Permission};
use domain::usage::Verdict;
use domain::{Stream, Violation};
use event_log::{Partition, Position};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::installation::put;
use crate::away::Away;
use crate::request::{CommandError, EventSummary, Mode, Outcome, Repetition, Request};

fn passed<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(value).unwrap()).unwrap()
}

#[track_caller]
fn passes_whole<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(passed(value), *value);
}

fn requests() -> [Request; 2] {
    let full = Request {
        operation: put("web"),
        expected: ExpectedRevision::Exact(u64::MAX),
        idempotency_key: Some("\"~!".parse().unwrap()),
        mode: Mode::Preview,
        correlation: Some(Uuid::from_u128(7)),
        traceparent: Some("00-".into()),
    };
    [Request::new(Operation::CloseTenant), full]
}

fn outcome() -> Outcome {
    let event = |id, stream| EventSummary { id, stream, revision: u64::MAX, name: "a.b.v1".into() };
    Outcome {
        command: CommandId(Uuid::from_u128(8)),
        partition: Partition(u32::MAX),
        position: Position(u64::MAX),
        sequence: u64::MAX,
        at: DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(i64::MAX),
        events: vec![
            event(EventId(Uuid::nil()), Stream::Directory),
            event(EventId(Uuid::from_u128(8)), Stream::Entity(EntityId::from_digest([9; 16]))),
            event(EventId(Uuid::from_u128(8)), Stream::Tenant(TenantId::SYSTEM)),
        ],
        verdicts: vec![Verdict::Accepted, Verdict::TooFarAhead],
        repetition: Repetition::Remembered,
    }
}

/// Every error at least once.
fn errors() -> Vec<CommandError> {
    let violation = Violation { field: "a.b[3]".into(), message: "expected \"x\"".into() };
    let retry_after = Duration::new(7, 999_999_999);
    let mut errors = vec![
        CommandError::Invalid(vec![violation]),
        CommandError::Rejected { code: "PLAN_RETIRED".into(), reason: "no".into() },
        CommandError::Conflict {
            subject: "component:default/web".into(),
            expected: ExpectedRevision::None,
            actual: u64::MAX,
        },
        CommandError::KeyReused("key".into()),
        CommandError::Busy { retry_after },
        CommandError::TooManyKeys { retry_after },
        CommandError::Unavailable(Away::Log),
        CommandError::NotOwner(Partition(3)),
        CommandError::Unknown,
        CommandError::Fault(CommandId(Uuid::from_u128(8))),
    ];
    let denied = |permission: &Permission| Denied { permission: *permission }.into();
    errors.extend(Permission::ALL.iter().map(denied));
    errors
}

fn tag(error: &CommandError) -> String {
    match serde_json::to_value(error).unwrap() {
        Value::String(tag) => tag,
        Value::Object(fields) => fields.keys().next().unwrap().clone(),
        other => panic!("{other}"),
    }
}

/// The variants there are, as the complaint about one that is not there lists them.
fn variants<T: DeserializeOwned>() -> BTreeSet<String> {
    let unknown = serde_json::from_value::<T>("nonsense".into()).err().unwrap().to_string();
    let (complaint, listed) = unknown.split_once(", expected one of ").unwrap();
    assert_eq!(complaint, "unknown variant `nonsense`");
    listed.split(", ").map(|it| it.trim_matches('`').to_owned()).collect()
}

#[test]
fn requests_and_outcomes_pass_whole() {
    for request in requests() {
        passes_whole(&request);
    }
    passes_whole(&outcome());
    let first = Outcome { repetition: Repetition::First, events: vec![], ..outcome() };
    passes_whole(&first);
}

#[test]
fn every_error_passes_whole() {
    for error in errors() {
        let read = passed(&error);
        assert_eq!(format!("{read:?}: {read}"), format!("{error:?}: {error}"));
    }
    let tags: BTreeSet<_> = errors().iter().map(tag).collect();
    assert_eq!(tags, variants::<CommandError>());
}

#[test]
fn what_is_away_that_another_version_names_is_something_that_is_away() {
    for said in ["the log is down: /var/lib/log", "notary"] {
        let error = serde_json::from_value(json!({ "unavailable": said })).unwrap();
        assert!(matches!(error, CommandError::Unavailable(Away::Other)), "{error:?}");
    }
}

#[test]
fn what_a_newer_version_adds_is_ignored_and_what_an_older_one_left_out_is_as_it_was() {
    let mut newer = serde_json::to_value(outcome()).unwrap();
    newer["notaries"] = json!(["a"]);
    newer["events"][0]["weight"] = json!(5);
    assert_eq!(serde_json::from_value::<Outcome>(newer).unwrap(), outcome());

    let mut newer = serde_json::to_value(&requests()[1]).unwrap();
    newer["urgency"] = json!({"high": true});
    assert_eq!(serde_json::from_value::<Request>(newer).unwrap(), requests()[1]);
    let older = json!({"operation": "closeTenant", "expected": "any", "mode": "commit"});
    assert_eq!(serde_json::from_value::<Request>(older).unwrap(), requests()[0]);
    let no_key = json!({"operation": "closeTenant", "expected": "any", "mode": "commit",
        "idempotencyKey": ""});
    let refused = serde_json::from_value::<Request>(no_key).unwrap_err().to_string();
    assert!(refused.starts_with("expected an idempotency key of 1 to 255"), "{refused}");
}
