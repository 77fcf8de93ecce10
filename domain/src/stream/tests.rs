use super::*;

#[test]
fn a_stream_is_read_back_from_its_text() {
    let bytes = [7; 16];
    for stream in [
        Stream::Directory,
        Stream::Tenant(TenantId::SYSTEM),
        Stream::Member(ActorId::from_digest(bytes)),
        Stream::Role(RoleId::from_digest(bytes)),
        Stream::Customer(CustomerId::from_digest(bytes)),
        Stream::Entity(EntityId::from_digest(bytes)),
        Stream::Location(LocationId::from_digest(bytes)),
        Stream::Plan(PlanId::from_digest(bytes)),
        Stream::Subscription(SubscriptionId::from_digest(bytes)),
        Stream::Meter(MeterId::from_digest(bytes)),
        Stream::Usage,
        Stream::Reactions,
        Stream::Requests,
        Stream::Audit,
    ] {
        assert_eq!(stream.to_string().parse(), Ok(stream));
    }
}

#[test]
fn what_names_no_stream_is_refused() {
    for text in ["", "usage_", "evt_07070707070787078707070707070707", "ent_1", "Directory"] {
        assert!(text.parse::<Stream>().is_err(), "{text} was accepted");
    }
}
