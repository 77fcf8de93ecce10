use super::*;
use crate::role::{BuiltIn, Permit};

const TENANT: TenantId = TenantId::from_digest([1; 16]);
const ACTOR: ActorId = ActorId::from_digest([2; 16]);

fn member(tenant: TenantId, role: BuiltIn) -> Principal {
    Principal::member(tenant, ACTOR, Arc::new(Grants::of(tenant, role.permits())))
}

/// The names of what `principal` may do everywhere.
fn granted(principal: &Principal) -> Vec<&'static str> {
    let granted = |it: &&Permission| principal.authorize(**it) == Ok(Scope::All);
    Permission::ALL.iter().filter(granted).map(|it| it.name()).collect()
}

/// The names of what `principal` may not do.
fn denied(principal: &Principal) -> Vec<&'static str> {
    let missing = |it: &&Permission| principal.authorize(**it).is_err();
    Permission::ALL.iter().filter(missing).map(|it| it.name()).collect()
}

#[test]
fn an_owner_may_do_everything_in_its_tenant_and_nothing_to_the_installation() {
    let owner = member(TENANT, BuiltIn::Owner);
    assert_eq!((owner.tenant(), owner.actor(), owner.member_id()), (TENANT, ACTOR, Some(ACTOR)));
    assert_eq!(denied(&owner), ["directory.write", "directory.read"]);
}

#[test]
fn an_owner_of_the_system_tenant_runs_the_installation_and_has_no_catalog_of_its_own() {
    assert_eq!(
        granted(&member(TenantId::SYSTEM, BuiltIn::Owner)),
        [
            "directory.write",
            "directory.read",
            "tenant.read",
            "member.write",
            "member.read",
            "api-key.write",
            "role.write",
            "role.read",
            "plan.write",
            "plan.read",
            "audit.read"
        ]
    );
}

#[test]
fn somebody_without_a_role_may_do_nothing() {
    let nobody = Principal::member(TENANT, ACTOR, Arc::default());
    assert_eq!(granted(&nobody), [""; 0]);
    assert_eq!(denied(&nobody).len(), Permission::ALL.len());
}

#[test]
fn callboard_itself_may_do_everything_on_behalf_of_a_tenant() {
    let system = Principal::system(TENANT);
    assert_eq!((system.tenant(), system.actor()), (TENANT, ActorId::SYSTEM));
    assert!(denied(&system).is_empty() && system.member_id().is_none());
    let owner = member(TENANT, BuiltIn::Owner);
    assert!(system.covers(&owner) && system.covers(&system) && !owner.covers(&system));
    let viewer = member(TENANT, BuiltIn::Viewer);
    assert!(owner.covers(&viewer) && viewer.covers(&viewer) && !viewer.covers(&owner));
}

#[test]
fn what_is_missing_is_named() {
    let denied = member(TENANT, BuiltIn::Owner).authorize(Permission::DirectoryWrite);
    assert_eq!(denied.unwrap_err().to_string(), "permission `directory.write` is required");
}

#[test]
fn every_permission_has_a_name_of_its_own() {
    let mut names: Vec<_> = Permission::ALL.iter().map(|it| it.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Permission::ALL.len());
    for (place, permission) in Permission::ALL.iter().enumerate() {
        assert_eq!((*permission as usize, permission.name().parse()), (place, Ok(*permission)));
    }
}

fn owned_by(team: &str) -> Predicate {
    Predicate::OwnedBy(format!("group:default/{team}"))
}

fn reading(conditions: &[Predicate]) -> Grants {
    let permits: Vec<_> =
        conditions.iter().map(|it| Permit::only(Permission::EntityRead, it.clone())).collect();
    Grants::of(TENANT, &permits)
}

#[test]
fn several_roles_amount_to_all_that_each_of_them_gives() {
    let read = |it: &Grants| it.scope(Permission::EntityRead).clone();
    let (a, b) = (owned_by("a"), owned_by("b"));
    assert_eq!(read(&reading(&[])), Scope::None);
    assert_eq!(read(&reading(&[a.clone(), a.clone()])), Scope::Where(Arc::new(a.clone())));
    let both = Predicate::Any(vec![a.clone(), b.clone()]);
    assert_eq!(read(&reading(&[a.clone(), b, a.clone()])), Scope::Where(Arc::new(both)));
    let narrow = Predicate::All(vec![a.clone(), Predicate::Kind("api".to_owned())]);
    let Scope::Where(joined) = read(&reading(&[narrow, a.clone()])) else { panic!("a condition") };
    assert!(joined.is_within(&a) && a.is_within(&joined));
    let everything = Permit::everywhere(Permission::EntityRead);
    let some = Permit::only(Permission::EntityRead, a);
    for permits in [[everything.clone(), some.clone()], [some, everything]] {
        assert_eq!(read(&Grants::of(TENANT, &permits)), Scope::All);
    }
}

#[test]
fn a_grant_never_exceeds_the_grantor() {
    let of = |role: BuiltIn| Grants::of(TENANT, role.permits());
    for role in BuiltIn::ALL {
        assert_eq!(of(BuiltIn::Owner).cover(&of(role)), Ok(()), "{role:?}");
        assert_eq!(of(role).cover(&of(role)), Ok(()), "{role:?}");
    }
    let beyond = |one: BuiltIn, other| of(one).cover(&of(other));
    assert_eq!(beyond(BuiltIn::Admin, BuiltIn::Owner), Err(Beyond(Permission::TenantWrite)));
    assert_eq!(beyond(BuiltIn::Viewer, BuiltIn::Developer), Err(Beyond(Permission::MemberRead)));

    let too_far = Err(Beyond(Permission::EntityRead));
    let (a, both) = (reading(&[owned_by("a")]), reading(&[owned_by("a"), owned_by("b")]));
    assert_eq!(both.cover(&a), Ok(()));
    assert_eq!(a.cover(&both), too_far);
    assert_eq!(a.cover(&of(BuiltIn::Viewer)), Err(Beyond(Permission::TenantRead)));
    assert_eq!(reading(&[]).cover(&a), too_far);
}

#[test]
fn an_api_key_may_what_its_member_may_of_what_it_was_issued_for() {
    let key = ActorId::from_digest([7; 16]);
    let developer = Grants::of(TENANT, BuiltIn::Developer.permits());
    let scope = [Permission::EntityWrite, Permission::TenantWrite];
    let key = Principal::api_key(TENANT, key, ACTOR, Arc::new(developer.only(&scope)));
    assert_eq!(key.authorize(Permission::EntityWrite), Ok(Scope::All));
    for lacking in [Permission::TenantWrite, Permission::EntityRead] {
        assert_eq!(key.authorize(lacking), Err(Denied { permission: lacking }));
    }
    assert_eq!(key.member_id(), Some(ACTOR));
    assert_ne!(key.actor(), ACTOR);
}

#[test]
fn what_somebody_acts_by_says_what_they_may_ask_for() {
    let developer = Arc::new(Grants::of(TENANT, BuiltIn::Developer.permits()));
    let session = SessionId::from_digest([8; 16]);
    let member = Principal::member(TENANT, ACTOR, developer.clone());
    let in_session = Principal::session(TENANT, ACTOR, session, developer.clone());
    let key = Principal::api_key(TENANT, ActorId::from_digest([7; 16]), ACTOR, developer);
    let proved = Principal::signing_in(TENANT, ACTOR);
    let (write, fresh) =
        (Need::Permission(Permission::EntityWrite), Need::Fresh(Permission::EntityWrite));
    for (who, may_write, in_person, is_proved) in [
        (&member, true, true, false),
        (&in_session, true, true, false),
        (&key, true, false, false),
        (&proved, false, false, true),
    ] {
        let may = |need| who.admit(need).is_ok();
        // Since when a session is only its partition's owner knows.
        assert_eq!(may(fresh), may_write, "{who:?}");
        assert_eq!(who.member_id(), Some(ACTOR));
        let found = (may(write), may(Need::Oneself), may(Need::Proof));
        assert_eq!(found, (may_write, in_person, is_proved), "{who:?}");
    }
    assert_eq!(in_session.means(), Means::Session(session));
    assert_eq!(denied(&proved).len(), Permission::ALL.len());
}
