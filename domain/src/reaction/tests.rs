use super::*;

const OTHER: TenantId = TenantId(uuid::Uuid::from_u128(1));
const SYSTEM: TenantId = TenantId::SYSTEM;

fn advanced(reaction: Reaction, source_sequence: u64) -> Event {
    Event::Advanced { reaction, source_tenant: SYSTEM, source_sequence }
}

#[test]
fn a_source_event_is_handled_once_per_reaction_and_tenant() {
    let mut reactions = Reactions::default();
    let directory = Reaction::FollowDirectory;
    assert!(reactions.is_new(directory, SYSTEM, 0));
    reactions.evolve(&advanced(directory, 7));
    assert!(!reactions.is_new(directory, SYSTEM, 7));
    assert!(!reactions.is_new(directory, SYSTEM, 3));
    assert!(reactions.is_new(directory, SYSTEM, 8));
    assert!(reactions.is_new(directory, OTHER, 7), "another tenant counts for itself");
    assert!(reactions.is_new(Reaction::FollowLocation, SYSTEM, 7), "another reaction, too");
}

#[test]
fn what_was_handled_stays_handled() {
    let mut reactions = Reactions::default();
    reactions.evolve(&advanced(Reaction::FollowLocation, 7));
    reactions.evolve(&advanced(Reaction::FollowLocation, 3));
    assert!(!reactions.is_new(Reaction::FollowLocation, SYSTEM, 7));
}
