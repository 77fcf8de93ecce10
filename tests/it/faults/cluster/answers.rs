//! The judge of single answers: what a client was told against what it knew when it asked.
//!
//! Pure: it knows no server. What is in the log is for [`History`](crate::faults::history::History)
//! to judge; this finds answers that speak of the past, or contradict each other, whatever the log
//! holds. The tests below take one step away from good answers each, and the judge must see it.

use std::fmt;

use outbound::{OutboundError, Response};
use serde_json::Value;
use uuid::Uuid;

/// What a request is to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// So many events.
    Change(usize),
    /// Nothing: what it asks for holds already.
    Nothing,
    /// A refusal: what it expects does not hold.
    Conflict,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It took effect, or what was asked for holds.
    Done(Done),
    /// What it expects does not hold.
    Conflict,
    /// Nothing was done; the code says why. It may be asked again.
    Later(String),
    /// It may have been done or not; the code, or what became of the connection, says why.
    Unknown(String),
    /// Anything else.
    Odd(String),
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// The command; none at a door that does not say.
    pub(crate) command: Option<String>,
    /// The tenant's last sequence.
    pub(crate) sequence: u64,
    /// Where that can be seen.
    pub(crate) position: String,
    /// Whether the outcome is one of an earlier request, as far as the door says.
    pub(crate) remembered: bool,
    /// What happened: the revisions of the events, or the entries that count now.
    pub(crate) effects: Vec<u64>,
}

/// What must not be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The answer is of a state before the one that had been acknowledged when it was asked.
    Stale { request: Uuid, known: u64, said: u64 },
    /// The same request has two outcomes.
    Differs { request: Uuid, one: String, other: String },
    /// What was expected holds, and it was refused.
    Contradicted(Uuid),
    /// What was expected does not hold, and it was not refused.
    Granted(Uuid),
    /// It has an effect, and what it asked for held already.
    Repeated(Uuid),
    /// An answer that helps no client.
    Odd { request: Uuid, said: String },
    /// A read that should have seen more, or less.
    Unseen { what: &'static str, known: String, seen: String },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { request, known, said } => {
                write!(f, "{request} was answered as of {said} and {known} was known")
            }
            Self::Differs { request, one, other } => {
                write!(f, "{request} has two outcomes: {one} and {other}")
            }
            Self::Contradicted(it) => write!(f, "{it} was refused, and what it expects holds"),
            Self::Granted(it) => write!(f, "{it} was accepted, and what it expects does not hold"),
            Self::Repeated(it) => write!(f, "{it} asked for what held, and had an effect"),
            Self::Odd { request, said } => write!(f, "{request} was answered: {said}"),
            Self::Unseen { what, known, seen } => {
                write!(f, "{what}: {known} was known, and {seen} was shown")
            }
        }
    }
}

/// Judges an answer to `request`, asked when the tenant's sequence was known to have come to
/// `known`; `before` is its outcome if it had one already.
pub(crate) fn judge(
    request: Uuid,
    wants: Wants,
    known: u64,
    before: Option<&Done>,
    said: &Said,
) -> Option<Wrong> {
    let done = match said {
        Said::Later(_) | Said::Unknown(_) => return None,
        Said::Odd(it) => return Some(Wrong::Odd { request, said: it.clone() }),
        Said::Conflict if wants == Wants::Conflict => return None,
        // Its client has gone on and changed what held.
        Said::Conflict if wants == Wants::Nothing && before.is_some() => return None,
        Said::Conflict => return Some(Wrong::Contradicted(request)),
        Said::Done(done) => done,
    };
    let said = done.sequence;
    let stale = Wrong::Stale { request, known, said };
    match (wants, before) {
        (Wants::Conflict, _) => Some(Wrong::Granted(request)),
        (Wants::Nothing, _) if !done.effects.is_empty() => Some(Wrong::Repeated(request)),
        (Wants::Nothing, _) => (said < known).then_some(stale),
        (Wants::Change(_), Some(before)) => {
            let same = (&before.command, before.sequence, &before.effects)
                == (&done.command, done.sequence, &done.effects);
            let (one, other) = (format!("{before:?}"), format!("{done:?}"));
            (!same).then_some(Wrong::Differs { request, one, other })
        }
        (Wants::Change(count), None) if done.effects.len() != count => {
            Some(Wrong::Odd { request, said: format!("{done:?}, expected {count} effects") })
        }
        // Whatever happened was not known before it was asked for, unless this tells of an
        // earlier time; a door that does not say so may do that too.
        (Wants::Change(_), None) => {
            (done.command.is_some() && !done.remembered && said <= known).then_some(stale)
        }
    }
}

/// What a client can see of its tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// How many events the audit trail has.
    pub(crate) events: u64,
    /// How much was used.
    pub(crate) used: u64,
    /// What is said of an entity that nobody else writes, and its revision.
    pub(crate) entity: Option<(String, u64)>,
}

/// Judges what was seen at a position where all that is in `known` was acknowledged.
pub(crate) fn compare(known: &View, seen: &View) -> Option<Wrong> {
    let unseen = |what, known: &dyn fmt::Debug, seen: &dyn fmt::Debug| {
        Some(Wrong::Unseen { what, known: format!("{known:?}"), seen: format!("{seen:?}") })
    };
    if seen.events < known.events {
        return unseen("events", &known.events, &seen.events);
    }
    if seen.used < known.used {
        return unseen("usage", &known.used, &seen.used);
    }
    let is_past = match (&known.entity, &seen.entity) {
        (None, _) => false,
        (Some(_), None) => true,
        // What has been said of it since may be seen already.
        (Some(known), Some(seen)) => seen.1 < known.1 || (seen.1 == known.1 && seen.0 != known.0),
    };
    if is_past { unseen("an entity", &known.entity, &seen.entity) } else { None }
}

/// Reads an answer of the GraphQL door to a mutation called `answer`, or of the usage door.
pub(crate) fn read(answer: &Result<Response, OutboundError>) -> Said {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Said::Unknown(format!("{error}")),
    };
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return Said::Odd(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
    };
    let error = body["errors"][0]["extensions"]["code"].as_str().or(body["code"].as_str());
    let refusal = body["data"]["answer"]["userErrors"][0]["code"].as_str();
    match (error, refusal) {
        (Some("OUTCOME_UNKNOWN" | "TIMED_OUT"), _) => Said::Unknown(said(&body, error)),
        (Some("UNAVAILABLE" | "BUSY" | "TOO_MANY_KEYS"), _) => Said::Later(said(&body, error)),
        (None, Some("REVISION_CONFLICT")) => Said::Conflict,
        (None, None) => outcome(&body).map_or_else(|| Said::Odd(body.to_string()), Said::Done),
        _ => Said::Odd(body.to_string()),
    }
}

/// The code of an error with its message.
fn said(body: &Value, code: Option<&str>) -> String {
    let message = body["errors"][0]["message"].as_str().or(body["detail"].as_str());
    format!("{} {}", code.unwrap_or_default(), message.unwrap_or_default())
}

fn outcome(body: &Value) -> Option<Done> {
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let outcome = &body["data"]["answer"]["outcome"];
    if outcome.is_object() {
        let events = outcome["events"].as_array()?.iter();
        return Some(Done {
            command: Some(text(&outcome["commandId"])?),
            sequence: outcome["sequence"].as_u64()?,
            position: text(&outcome["position"])?,
            remembered: outcome["remembered"].as_bool()?,
            effects: events.map(|it| it["revision"].as_u64()).collect::<Option<_>>()?,
        });
    }
    let results = body["results"].as_array()?;
    let counts = (0..).zip(results).filter(|(_, it)| it["result"] == "accepted");
    Some(Done {
        command: None,
        sequence: body["sequence"].as_u64()?,
        position: text(&body["position"])?,
        remembered: false,
        effects: counts.map(|(place, _)| place).collect(),
    })
}

#[cfg(test)]
mod tests;
