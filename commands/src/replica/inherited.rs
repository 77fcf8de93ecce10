//! What whoever owned a partition before may have left to react to.

use std::collections::VecDeque;

use domain::id::TenantId;
use domain::reaction::Reaction;
use event_log::Position;

/// How many triggers are kept one by one: 65,536, some 4 MiB. Older ones are searched for in the
/// log, should it come to that.
const TRIGGERS_MAX: usize = 1 << 16;

/// An event that something follows from.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    pub(crate) position: Position,
    /// Whose it is.
    pub(crate) tenant: TenantId,
    /// Which of its tenant's.
    pub(crate) sequence: u64,
    /// What follows, and for whom.
    pub(crate) effects: Vec<(Reaction, TenantId)>,
}

/// What may be left to react to.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// Before here everything was reacted to.
    pub(crate) done: Position,
    /// From `done` up to here the log has to be searched.
    pub(crate) upto: Position,
    /// What came after, in order.
    pub(crate) triggers: VecDeque<Trigger>,
}

impl Inherited {
    /// Everything before `upto` has to be searched for what is left from `done` on.
    pub(crate) fn between(done: Position, upto: Position) -> Self {
        Self { done, upto, triggers: VecDeque::new() }
    }

    /// Notes an event that something follows from, after all others.
    pub(crate) fn note(&mut self, trigger: Trigger) {
        self.triggers.push_back(trigger);
        if self.triggers.len() > TRIGGERS_MAX
            && let Some(oldest) = self.triggers.pop_front()
        {
            self.upto = oldest.position.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_searched_for() {
        let mut inherited = Inherited::between(Position(3), Position(5));
        let max = u64::try_from(TRIGGERS_MAX).unwrap();
        for position in (0..max + 2).map(|it| Position(10 + it)) {
            inherited.note(Trigger {
                position,
                tenant: TenantId::SYSTEM,
                sequence: 1,
                effects: Vec::new(),
            });
        }
        assert_eq!((inherited.done, inherited.upto), (Position(3), Position(12)));
        assert_eq!(inherited.triggers.front().map(|it| it.position), Some(Position(12)));
        assert_eq!(inherited.triggers.len(), TRIGGERS_MAX);
    }
}
