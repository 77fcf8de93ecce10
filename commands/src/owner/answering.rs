//! What is answered, and remembered, once a decision has become durable.

use chrono::{DateTime, Utc};
use event_log::Position;

use super::Owner;
use super::decisions::{Accepted, Decided, Open};
use super::envelope::{Answer, Envelope};
use crate::idempotency::Remembered;
use crate::request::{Outcome, Repetition};

impl Owner {
    #[cfg(test)]
    pub(super) fn answer_early(&mut self, open: Vec<Open>, now: DateTime<Utc>) -> Vec<Open> {
        if self.replica.parts.settings.sabotage != Some(crate::settings::Sabotage::AnswerEarly) {
            return open;
        }
        self.acknowledge(open, &[], now);
        Vec::new()
    }

    /// Answers requests whose decisions have become durable, or rest on nothing that is not.
    pub(super) fn acknowledge(
        &mut self,
        open: Vec<Open>,
        positions: &[Position],
        now: DateTime<Utc>,
    ) {
        let last = Position(self.replica.state.next.0.saturating_sub(1));
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(open.len());
        for Open { envelope, decided } in open {
            let command = envelope.prepared.command;
            let (answer, outcome) = match decided {
                Decided::Accepted(accepted) => {
                    let position = self.remember(&envelope, &accepted, positions, now);
                    let Accepted { sequence, events, verdicts, resume, .. } = accepted;
                    let outcome = Outcome {
                        command,
                        partition: self.replica.partition,
                        position: position.unwrap_or(last),
                        sequence,
                        at: now,
                        events,
                        verdicts,
                        repetition: Repetition::First,
                    };
                    let kept = envelope.prepared.request.map(|_| outcome.clone());
                    match resume {
                        Some(resume) => (Answer::Partly { resume }, kept),
                        None => (Answer::Done(outcome), kept),
                    }
                }
                Decided::SameAs(index) => {
                    let first = outcomes[index].clone().expect("a keyed request is kept");
                    let outcome = Outcome { repetition: Repetition::Remembered, ..first };
                    (Answer::Done(outcome), None)
                }
                Decided::Refused(error) => (Answer::Refused(error), None),
                Decided::Stale => (Answer::Stale, None),
                Decided::Remembered(remembered) => (Answer::Remembered(remembered), None),
            };
            outcomes.push(outcome);
            envelope.answer(answer);
        }
    }

    /// Notes where a keyed request's outcome is; returns the position of its last record.
    fn remember(
        &mut self,
        envelope: &Envelope,
        accepted: &Accepted,
        positions: &[Position],
        at: DateTime<Utc>,
    ) -> Option<Position> {
        let own = positions.get(accepted.records.clone())?;
        let (position, last) = (*own.first()?, *own.last()?);
        if let Some(request) = envelope.prepared.request {
            let remembered = Remembered { request, position, at };
            let (tenant, command) = (envelope.prepared.tenant, envelope.prepared.command);
            self.replica.state.outcomes.insert(tenant, command, remembered);
        }
        Some(last)
    }
}
