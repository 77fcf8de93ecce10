use super::*;

fn advanced(reaction: Reaction, source_partition: u32, source_position: u64) -> Event {
    Event::Advanced { reaction, source_partition, source_position }
}

#[test]
fn a_source_event_is_handled_once_per_reaction_and_partition() {
    let mut reactions = Reactions::default();
    let directory = Reaction::FollowDirectory;
    assert!(reactions.is_new(directory, 0, 0));
    reactions.evolve(&advanced(directory, 0, 7));
    assert!(!reactions.is_new(directory, 0, 7));
    assert!(!reactions.is_new(directory, 0, 3));
    assert!(reactions.is_new(directory, 0, 8));
    assert!(reactions.is_new(directory, 1, 7), "another partition counts for itself");
    assert!(reactions.is_new(Reaction::FollowLocation, 0, 7), "another reaction, too");
}

#[test]
fn what_was_handled_stays_handled() {
    let mut reactions = Reactions::default();
    reactions.evolve(&advanced(Reaction::FollowLocation, 0, 7));
    reactions.evolve(&advanced(Reaction::FollowLocation, 0, 3));
    assert!(!reactions.is_new(Reaction::FollowLocation, 0, 7));
}
