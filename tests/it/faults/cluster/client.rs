//! A client that never stops asking, at both doors, and writes down what it asked and was told.
//!
//! It has one request at a time. Where no answer comes, it asks again at the other door and goes on
//! waiting for the first answer too: what a process says that was paused, or cut off, is judged
//! like any other answer. [`requests`](super::requests) is what it can ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outbound::{OutboundError, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answers::{Done, Said, View, Wants, Wrong, compare, judge, read};
use super::figures::Figures;
use super::requests::{Ask, Own, TOTALS, VIEW, total};
use super::tenant::{Known, TENANTS, Tenant};
use crate::faults::history::{Answer, Asked};
use crate::harness::{Api, Random};

/// How long a client waits for an answer before it asks again at the other door. In seconds: 2.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many answers to one request a client waits for at a time.
const ATTEMPTS_MAX: usize = 4;

/// How long what is known may take to be shown after everything was mended. In seconds: 60.
const SHOWN_MAX: Duration = Duration::from_secs(60);

/// How long a client rests between two requests at most, and before it repeats one. In
/// milliseconds: 40 and 50.
const REST_MAX: u64 = 40;
const AGAIN: Duration = Duration::from_millis(50);

/// Of so many requests one is repeated although it was answered.
const REPEATED: u64 = 4;

/// Of so many requests one is sent to both doors at once.
const DOUBLED: u64 = 8;

/// Of so many requests that were put off one is given up, and must then not take effect.
const GIVEN_UP: u64 = 4;

/// Of so many requests whose outcome nobody knows one is given up.
const ABANDONED: u64 = 8;

/// Everything a client was told, for the judges.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) asked: Vec<Asked>,
    pub(crate) wrong: Vec<Wrong>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    tenant: Arc<Tenant>,
    figures: Arc<Figures>,
    random: Random,
    own: Own,
    /// The door it asks at.
    door: usize,
    late: Vec<Late>,
    looks: JoinSet<Looked>,
}

/// Attempts whose answers are still to come.
#[derive(Debug)]
struct Late {
    ask: Ask,
    /// Its place in the notes, unless it is to have no effect.
    noted: Option<usize>,
    done: Option<Done>,
    attempts: Attempts,
}

/// What was known at each attempt, and what was said.
type Attempts = JoinSet<(u64, Said)>;

/// What came of a look.
enum Looked {
    /// Nothing is known that could be seen.
    Nothing,
    /// It could not be seen at present; in words.
    Unseen(String),
    /// It was seen, and this is wrong with it.
    Seen(Option<Wrong>),
}

/// How a request ended.
enum End {
    Done(Done),
    Conflict,
    GivenUp,
    Abandoned,
}

impl Client {
    pub(crate) fn new(number: usize, tenant: Arc<Tenant>, figures: Arc<Figures>) -> Self {
        let (random, own) = (Random::new(number as u64), Own::new(number));
        let (door, late, looks) = (number / TENANTS % 2, Vec::new(), JoinSet::new());
        Self { tenant, figures, random, own, door, late, looks }
    }

    /// Asks until it is enough, then waits for the answers that are still to come.
    pub(crate) async fn run(mut self, enough: Arc<AtomicBool>) -> (Self, Notes) {
        let mut notes = Notes::default();
        while !enough.load(Ordering::Relaxed) {
            if self.random.below(8) == 0 {
                self.look(&mut notes).await;
            } else {
                let ask = self.own.think(&mut self.random);
                self.settle(ask, &mut notes).await;
            }
            sleep(Duration::from_millis(self.random.below(REST_MAX))).await;
        }
        self.hear_late_answers(&mut notes).await;
        (self, notes)
    }

    /// Sees that all it was told of one of its entities holds, at either door. What comes late is
    /// judged at the end.
    async fn look(&mut self, notes: &mut Notes) {
        let (index, entity) = self.own.any_entity(&mut self.random);
        let door = usize::from(self.random.below(2) == 0);
        self.looks.spawn(look_at(self.tenant.clone(), door, self.own.reference(index), entity));
        if let Ok(Some(looked)) = timeout(PATIENCE, self.looks.join_next()).await {
            self.take_in(looked.expect("looking does not panic"), notes);
        }
    }

    /// The same of every entity, at both doors, until they are shown.
    pub(crate) async fn look_at_everything(&self, notes: &mut Notes) {
        let begin = Instant::now();
        for (index, entity) in self.own.entities().iter().enumerate() {
            for door in [0, 1] {
                let looked = loop {
                    let reference = self.own.reference(index);
                    match look_at(self.tenant.clone(), door, reference, entity.clone()).await {
                        Looked::Unseen(why) if begin.elapsed() > SHOWN_MAX => {
                            let (known, seen) = (format!("{entity:?}"), why);
                            let what = "an entity after everything was mended";
                            break Looked::Seen(Some(Wrong::Unseen { what, known, seen }));
                        }
                        Looked::Unseen(_) => sleep(AGAIN).await,
                        looked => break looked,
                    }
                };
                self.take_in(looked, notes);
            }
        }
    }

    fn take_in(&self, looked: Looked, notes: &mut Notes) {
        match looked {
            Looked::Nothing => (),
            Looked::Unseen(why) => {
                self.figures.unseen.add();
                self.figures.note(&format!("to a read: {why}"));
            }
            Looked::Seen(wrong) => {
                self.figures.looks.add();
                self.tenant.read();
                notes.wrong.extend(wrong);
            }
        }
    }

    async fn settle(&mut self, ask: Ask, notes: &mut Notes) {
        let noted = matches!(ask.wants, Wants::Change(_)).then_some(notes.asked.len());
        if let Wants::Change(events) = ask.wants {
            let (request, tenant) = (ask.request, self.tenant.id.clone());
            let events = if ask.is_usage() { 1 } else { events };
            notes.asked.push(Asked { request, tenant, events, answer: Answer::Unknown });
        }
        let mut attempts = Attempts::new();
        let end = self.ask(&ask, &mut attempts, &mut notes.wrong).await;
        let done = match end {
            End::Done(done) => Some(done),
            End::Conflict => None,
            End::GivenUp => {
                self.figures.given_up.add();
                note(notes, noted, Answer::Refused);
                None
            }
            End::Abandoned => {
                self.figures.abandoned.add();
                None
            }
        };
        if let Some(done) = &done {
            note(notes, noted, Answer::Done(done.sequence));
            self.acknowledged(&ask, done);
            if ask.key.is_some() && self.random.below(REPEATED) == 0 {
                self.figures.repeated.add();
                self.attempt(&ask, 1 - self.door, &mut attempts);
            }
        }
        if !attempts.is_empty() {
            self.late.push(Late { ask, noted, done, attempts });
        }
    }

    fn acknowledged(&mut self, ask: &Ask, done: &Done) {
        let used = if ask.is_usage() { done.effects.len() as u64 } else { 0 };
        self.tenant.learn(done, used);
        if matches!(ask.wants, Wants::Change(_)) {
            self.figures.acknowledged.add();
            self.tenant.changed();
        }
        self.own.changed(ask, done);
    }

    /// Asks until it is known what became of it, or it is given up. What is left in `attempts` is
    /// not answered yet.
    async fn ask(&mut self, ask: &Ask, attempts: &mut Attempts, wrong: &mut Vec<Wrong>) -> End {
        let repeats = ask.may_be_repeated();
        if repeats && self.random.below(DOUBLED) == 0 {
            self.figures.repeated.add();
            self.attempt(ask, 1 - self.door, attempts);
        }
        self.attempt(ask, self.door, attempts);
        let mut in_doubt = false;
        loop {
            let Ok(answered) = timeout(PATIENCE, attempts.join_next()).await else {
                if repeats && attempts.len() < ATTEMPTS_MAX {
                    self.door = 1 - self.door;
                    self.figures.repeated.add();
                    self.attempt(ask, self.door, attempts);
                }
                continue;
            };
            let (known, said) = answered.expect("one is under way").expect("asking does not panic");
            wrong.extend(judge(ask.request, ask.wants, known, None, &said));
            match said {
                Said::Done(done) => return End::Done(done),
                Said::Conflict | Said::Odd(_) => return End::Conflict,
                Said::Later(why) => {
                    self.figures.note(&why);
                    let certain = !in_doubt && attempts.is_empty();
                    if certain && (!repeats || self.random.below(GIVEN_UP) == 0) {
                        return End::GivenUp;
                    }
                }
                Said::Unknown(why) => {
                    self.figures.note(&why);
                    in_doubt = true;
                    self.door = 1 - self.door;
                    let gives_up = !ask.is_expected() && self.random.below(ABANDONED) == 0;
                    if !repeats || gives_up {
                        return End::Abandoned;
                    }
                }
            }
            if attempts.is_empty() {
                sleep(AGAIN).await;
                self.figures.repeated.add();
                self.attempt(ask, self.door, attempts);
            }
        }
    }

    /// Sends it once more.
    fn attempt(&self, ask: &Ask, door: usize, attempts: &mut Attempts) {
        let (ask, tenant) = (ask.clone(), self.tenant.clone());
        attempts.spawn(async move {
            let known = tenant.known().sequence;
            (known, read(&ask.send(&tenant.doors[door]).await))
        });
    }

    /// Judges what was answered after nobody needed it any more.
    async fn hear_late_answers(&mut self, notes: &mut Notes) {
        while let Some(looked) = self.looks.join_next().await {
            self.take_in(looked.expect("looking does not panic"), notes);
        }
        for Late { ask, noted, mut done, mut attempts } in std::mem::take(&mut self.late) {
            while let Some(answered) = attempts.join_next().await {
                let (known, said) = answered.expect("asking does not panic");
                self.figures.late.add();
                notes.wrong.extend(judge(ask.request, ask.wants, known, done.as_ref(), &said));
                let Said::Done(outcome) = said else { continue };
                if outcome.remembered {
                    self.figures.remembered.add();
                }
                if done.is_none() {
                    note(notes, noted, Answer::Done(outcome.sequence));
                    self.acknowledged(&ask, &outcome);
                    done = Some(outcome);
                }
            }
        }
    }
}

fn note(notes: &mut Notes, noted: Option<usize>, answer: Answer) {
    if let Some(asked) = noted.and_then(|it| notes.asked.get_mut(it)) {
        asked.answer = answer;
    }
}

/// Judges what is shown of an entity, and of everything else that is known by now.
async fn look_at(
    tenant: Arc<Tenant>,
    door: usize,
    reference: String,
    entity: Option<(String, u64)>,
) -> Looked {
    let known = tenant.known();
    if known.position.is_empty() {
        return Looked::Nothing;
    }
    let expected = View { events: known.sequence, used: known.used, entity };
    match view(&tenant.doors[door], &known, &reference).await {
        Ok(seen) => Looked::Seen(compare(&expected, &seen)),
        Err(why) => Looked::Unseen(why),
    }
}

/// What is shown at a door of everything that is known, or why that is not shown at present.
async fn view(door: &Api, known: &Known, reference: &str) -> Result<View, String> {
    let at = [("callboard-position", known.position.as_str())];
    let body = json!({"query": VIEW, "variables": {"reference": reference}});
    let body = body_of(door.post("/graphql", &body, &at).await)?;
    let shown = &body["data"];
    let (Some(events), true) = (shown["audit"]["totalCount"].as_u64(), body["errors"].is_null())
    else {
        return Err(format!(
            "{} {}",
            body["errors"][0]["extensions"]["code"], body["errors"][0]["message"]
        ));
    };
    let revision = shown["entity"]["revision"].as_u64();
    let text = shown["entity"]["description"].as_str().map(str::to_owned);
    let asked = outbound::Request::get(door.url(TOTALS));
    let asked = asked.with_header("callboard-position", &known.position);
    let report = body_of(door.send(asked).await)?;
    let used = total(&report).ok_or_else(|| format!("{} {}", report["code"], report["detail"]))?;
    Ok(View { events, used, entity: text.zip(revision) })
}

fn body_of(answer: Result<Response, OutboundError>) -> Result<Value, String> {
    let answer = answer.map_err(|it| it.to_string())?;
    serde_json::from_slice(&answer.body).map_err(|it| format!("status {}: {it}", answer.status))
}
