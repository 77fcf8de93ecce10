use super::*;

const THREE: usize = 3;

fn request(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Ten requests of three events each, in turn of two tenants, all answered.
fn good() -> (Vec<Asked>, Vec<Found>) {
    let (mut asked, mut found) = (Vec::new(), Vec::new());
    let mut sequences = HashMap::from([("one", 0), ("other", 0)]);
    for number in 0..10 {
        let tenant = if number % 2 == 0 { "one" } else { "other" };
        let sequence = sequences.get_mut(tenant).unwrap();
        for place in 1..=THREE {
            *sequence += 1;
            found.push(Found {
                tenant: tenant.to_owned(),
                sequence: *sequence,
                request: request(number),
                command: format!("cmd_{number}"),
                place,
                of: THREE,
            });
        }
        let answer = Answer::Done(*sequence);
        let tenant = tenant.to_owned();
        asked.push(Asked { request: request(number), tenant, events: THREE, answer });
    }
    (asked, found)
}

/// Numbers the events of each tenant anew, as a log would that was told to do wrong.
fn renumber(found: &mut [Found]) {
    let mut sequences: HashMap<String, u64> = HashMap::new();
    for it in found {
        let sequence = sequences.entry(it.tenant.clone()).or_default();
        *sequence += 1;
        it.sequence = *sequence;
    }
}

#[track_caller]
fn check(break_it: impl FnOnce(&mut Vec<Asked>, &mut Vec<Found>), expected: &[Fault]) {
    let (mut asked, mut found) = good();
    break_it(&mut asked, &mut found);
    assert_eq!(History::default().judge(&asked, &found), expected);
}

#[test]
fn a_good_history_has_no_faults_whether_told_at_once_or_crash_by_crash() {
    check(|_, _| {}, &[]);
    let (asked, found) = good();
    let mut history = History::default();
    for (asked, found) in asked.chunks(2).zip(found.chunks(2 * THREE)) {
        assert_eq!(history.judge(asked, found), []);
    }
    assert_eq!(history.settled(), 10);
}

#[test]
fn what_was_not_answered_may_be_there_or_not() {
    check(|asked, _| asked[4].answer = Answer::Unknown, &[]);
    check(
        |asked, found| {
            asked[9].answer = Answer::Unknown;
            found.truncate(9 * THREE);
        },
        &[],
    );
    check(
        |asked, found| {
            asked[9].answer = Answer::Unknown;
            found.truncate(9 * THREE + 1);
        },
        &[Fault::Half(request(9))],
    );
}

#[test]
fn what_was_refused_must_not_be_there() {
    check(|asked, _| asked[4].answer = Answer::Refused, &[Fault::Refused(request(4))]);
    check(
        |asked, found| {
            asked[9].answer = Answer::Refused;
            found.truncate(9 * THREE);
        },
        &[],
    );
}

#[test]
fn a_lost_command_is_found() {
    check(|_, found| found.truncate(9 * THREE), &[Fault::Lost(request(9))]);
    check(
        |_, found| {
            found.drain(4 * THREE..5 * THREE);
            renumber(found);
        },
        &[Fault::Lost(request(4))],
    );
}

#[test]
fn a_repeated_command_is_found_also_after_another_crash() {
    let again = |found: &mut Vec<Found>| {
        let more: Vec<Found> = found[..THREE]
            .iter()
            .map(|it| Found { command: "cmd_again".to_owned(), ..it.clone() })
            .collect();
        found.extend(more);
        renumber(found);
    };
    check(|_, found| again(found), &[Fault::Twice(request(0))]);
    let (asked, mut found) = good();
    again(&mut found);
    let mut history = History::default();
    assert_eq!(history.judge(&asked, &found[..10 * THREE]), []);
    assert_eq!(history.judge(&asked[..1], &found[10 * THREE..]), [Fault::Twice(request(0))]);
}

#[test]
fn a_command_of_which_a_part_is_missing_is_found() {
    check(
        |_, found| {
            found.remove(4 * THREE + 1);
            renumber(found);
        },
        &[Fault::Half(request(4))],
    );
    check(
        |_, found| found.iter_mut().skip(27).for_each(|it| it.of = 4),
        &[Fault::Half(request(9))],
    );
}

#[test]
fn what_is_out_of_place_or_order_is_found() {
    check(
        |_, found| {
            found.iter_mut().skip(27).for_each(|it| it.tenant = "one".to_owned());
            renumber(found);
        },
        &[Fault::Misplaced(request(9)), Fault::Early(request(9))],
    );
    check(
        |_, found| found[29].sequence += 1,
        &[Fault::Gap("other".to_owned(), 14, 16), Fault::Early(request(9))],
    );
    check(
        |asked, _| {
            asked.remove(3);
        },
        &[Fault::Unasked(request(3))],
    );
}
