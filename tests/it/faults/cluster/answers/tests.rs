use super::*;

const REQUEST: Uuid = Uuid::from_u128(7);

/// A change of two events, at 5 and 6.
fn done() -> Done {
    Done {
        command: Some("cmd_1".to_owned()),
        sequence: 6,
        position: "there".to_owned(),
        remembered: false,
        effects: vec![1, 1],
    }
}

#[track_caller]
fn check(wants: Wants, known: u64, before: Option<&Done>, said: &Said, then: Option<&Wrong>) {
    assert_eq!(judge(REQUEST, wants, known, before, said).as_ref(), then);
}

fn stale(known: u64) -> Wrong {
    Wrong::Stale { request: REQUEST, known, said: 6 }
}

#[test]
fn good_answers_are_no_faults() {
    check(Wants::Change(2), 5, None, &Said::Done(done()), None);
    check(Wants::Change(2), 9, Some(&done()), &Said::Done(done()), None);
    // The first answer was lost, and others have written since.
    let remembered = Done { remembered: true, ..done() };
    check(Wants::Change(2), 9, None, &Said::Done(remembered), None);
    let usage = Done { command: None, ..done() };
    check(Wants::Change(2), 9, None, &Said::Done(usage), None);
    let nothing = Done { effects: Vec::new(), ..done() };
    check(Wants::Nothing, 6, None, &Said::Done(nothing.clone()), None);
    check(Wants::Nothing, 6, Some(&nothing), &Said::Conflict, None);
    check(Wants::Conflict, 6, None, &Said::Conflict, None);
    for said in [Said::Later("BUSY".to_owned()), Said::Unknown("late".to_owned())] {
        check(Wants::Change(2), 6, Some(&done()), &said, None);
    }
}

#[test]
fn an_answer_from_before_what_was_known_is_found() {
    check(Wants::Change(2), 6, None, &Said::Done(done()), Some(&stale(6)));
    let nothing = Said::Done(Done { effects: Vec::new(), ..done() });
    check(Wants::Nothing, 7, None, &nothing, Some(&stale(7)));
}

#[test]
fn a_refusal_that_rests_on_a_past_state_is_found() {
    check(Wants::Change(2), 5, None, &Said::Conflict, Some(&Wrong::Contradicted(REQUEST)));
    check(Wants::Change(2), 5, Some(&done()), &Said::Conflict, Some(&Wrong::Contradicted(REQUEST)));
    check(Wants::Nothing, 5, None, &Said::Conflict, Some(&Wrong::Contradicted(REQUEST)));
    check(Wants::Conflict, 5, None, &Said::Done(done()), Some(&Wrong::Granted(REQUEST)));
}

#[test]
fn a_second_outcome_or_effect_is_found() {
    for other in [
        Done { command: Some("cmd_2".to_owned()), ..done() },
        Done { sequence: 8, ..done() },
        Done { effects: Vec::new(), ..done() },
    ] {
        let said = Said::Done(other);
        let wrong = judge(REQUEST, Wants::Change(2), 6, Some(&done()), &said);
        assert!(matches!(wrong, Some(Wrong::Differs { .. })), "{said:?}: {wrong:?}");
    }
    check(Wants::Nothing, 5, None, &Said::Done(done()), Some(&Wrong::Repeated(REQUEST)));
    let wrong = judge(REQUEST, Wants::Change(3), 5, None, &Said::Done(done()));
    assert!(matches!(wrong, Some(Wrong::Odd { .. })), "{wrong:?}");
}

#[test]
fn what_should_have_been_seen_is_missed() {
    let entity = |text: &str, revision| Some((text.to_owned(), revision));
    let known = View { events: 6, used: 3, entity: entity("new", 2) };
    let more = View { events: 7, used: 4, entity: entity("newer", 3) };
    assert_eq!(compare(&known, &known), None);
    assert_eq!(compare(&known, &more), None);
    for past in [
        View { events: 5, ..known.clone() },
        View { used: 2, ..known.clone() },
        View { entity: entity("old", 1), ..known.clone() },
        View { entity: entity("other", 2), ..known.clone() },
        View { entity: None, ..known.clone() },
    ] {
        assert!(matches!(compare(&known, &past), Some(Wrong::Unseen { .. })), "{past:?}");
    }
}

#[test]
fn answers_are_told_apart_by_their_codes() {
    let answer = |status, body: &str| {
        let body = body.to_owned().into();
        read(&Ok(Response { status, content_type: None, retry_after: None, body }))
    };
    let error =
        |code| format!(r#"{{"errors": [{{"message": "m", "extensions": {{"code": "{code}"}}}}]}}"#);
    assert_eq!(answer(200, &error("BUSY")), Said::Later("BUSY m".to_owned()));
    let unknown = Said::Unknown("OUTCOME_UNKNOWN m".to_owned());
    assert_eq!(answer(200, &error("OUTCOME_UNKNOWN")), unknown);
    assert!(matches!(answer(200, &error("INTERNAL")), Said::Odd(_)));
    let problem = r#"{"code": "UNAVAILABLE", "detail": "d"}"#;
    assert_eq!(answer(503, problem), Said::Later("UNAVAILABLE d".to_owned()));
    let conflict = r#"{"data": {"answer": {"userErrors": [{"code": "REVISION_CONFLICT"}]}}}"#;
    assert_eq!(answer(200, conflict), Said::Conflict);
    let other = r#"{"data": {"answer": {"userErrors": [{"code": "BAD_USER_INPUT"}]}}}"#;
    assert!(matches!(answer(200, other), Said::Odd(_)));
    assert!(matches!(answer(502, "<html>"), Said::Odd(_)));
    let done = r#"{"data": {"answer": {"userErrors": [], "outcome": {"commandId": "cmd_1",
        "sequence": 6, "position": "there", "remembered": false,
        "events": [{"revision": 1}, {"revision": 1}]}}}}"#;
    assert_eq!(answer(200, done), Said::Done(super::tests::done()));
    let usage = r#"{"sequence": 6, "position": "there", "results": [{"result": "accepted"},
        {"result": "duplicate"}]}"#;
    let expected = Done { command: None, effects: vec![0], ..super::tests::done() };
    assert_eq!(answer(200, usage), Said::Done(expected));
}

#[test]
fn a_door_that_has_given_up_says_nothing_of_what_was_done() {
    let answer = |status, code: &str| {
        let body = serde_json::json!({"code": code, "detail": "why"}).to_string().into();
        read(&Ok(Response { status, content_type: None, retry_after: None, body }))
    };
    assert_eq!(answer(504, "TIMED_OUT"), Said::Unknown("TIMED_OUT why".to_owned()));
    assert_eq!(answer(504, "OUTCOME_UNKNOWN"), Said::Unknown("OUTCOME_UNKNOWN why".to_owned()));
    assert_eq!(answer(503, "UNAVAILABLE"), Said::Later("UNAVAILABLE why".to_owned()));
    assert!(matches!(answer(500, "INTERNAL"), Said::Odd(_)));
}
