use domain::aggregate::{Aggregate as _, fold};
use domain::principal::{Permission, Predicate, Scope};
use domain::role::BuiltIn;
use domain::{member, role};

use super::*;

const TENANT: TenantId = TenantId::from_digest([1; 16]);
const OTHER: TenantId = TenantId::from_digest([2; 16]);
const ADA: ActorId = ActorId::from_digest([3; 16]);
const TEAM: RoleId = RoleId::from_digest([4; 16]);

fn member(roles: &[RoleRef]) -> Member {
    let roles = roles.iter().copied().collect();
    fold(&[member::Event::Added { name: None, roles }])
}

fn team(permits: Vec<Permit>) -> Role {
    fold(&[role::Event::Defined { name: "team".parse().unwrap(), permits }])
}

fn read(access: &Access, tenant: TenantId) -> Scope {
    access.grants(tenant, ADA).scope(Permission::EntityRead).clone()
}

#[test]
fn what_a_member_may_follows_its_roles_at_once_and_in_its_tenant_only() {
    let access = Access::default();
    let mut changes = access.changes();
    assert_eq!(read(&access, TENANT), Scope::None);
    access.show_member(TENANT, ADA, &member(&[RoleRef::BuiltIn(BuiltIn::Viewer)]));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!((read(&access, TENANT), read(&access, OTHER)), (Scope::All, Scope::None));
    assert!(access.has_members(TENANT) && !access.has_members(OTHER));
    access.show_member(TENANT, ADA, &Member::Removed(Term(1)));
    assert!(changes.has_changed().unwrap());
    assert_eq!(read(&access, TENANT), Scope::None);
}

#[test]
fn a_role_is_compiled_once_and_anew_when_it_changes_in_whatever_order_both_are_seen() {
    let own = [RoleRef::Own(TEAM)];
    let condition = Predicate::Kind("api".to_owned());
    let some = Scope::Where(Arc::new(condition.clone()));
    let mut role = team(vec![Permit::only(Permission::EntityRead, condition)]);
    let access = Access::default();
    access.show_member(TENANT, ADA, &member(&own));
    assert_eq!(read(&access, TENANT), Scope::None);
    access.show_role(TENANT, TEAM, &role);
    assert_eq!(read(&access, TENANT), some);
    let (one, other) = (access.grants(TENANT, ADA), access.grants(TENANT, ADA));
    assert!(Arc::ptr_eq(&one, &other));
    role.evolve(&role::Event::Changed {
        permits: vec![Permit::everywhere(Permission::EntityRead)],
    });
    access.show_role(TENANT, TEAM, &role);
    assert_eq!(read(&access, TENANT), Scope::All);
    role.evolve(&role::Event::Retired {});
    access.show_role(TENANT, TEAM, &role);
    assert_eq!(read(&access, TENANT), Scope::None);
}

#[test]
fn what_nobody_has_any_more_is_forgotten() {
    let access = Access::default();
    let viewer = member(&[RoleRef::BuiltIn(BuiltIn::Viewer)]);
    let both = member(&[RoleRef::BuiltIn(BuiltIn::Viewer), RoleRef::Own(TEAM)]);
    let bob = ActorId::from_digest([5; 16]);
    let known = || access.tenants.read().unwrap()[&TENANT].sets.len();
    access.show_member(TENANT, ADA, &viewer);
    access.show_member(TENANT, bob, &viewer);
    for _ in 0..3 {
        access.show_member(TENANT, ADA, &both);
        assert_eq!(known(), 2);
        access.show_member(TENANT, ADA, &viewer);
        assert_eq!(known(), 1);
    }
    access.show_member(TENANT, ADA, &Member::Removed(Term(1)));
    assert_eq!(
        (known(), access.grants(TENANT, bob).scope(Permission::EntityRead)),
        (1, &Scope::All)
    );
    access.show_member(TENANT, bob, &Member::Removed(Term(1)));
    assert_eq!(known(), 0);
}
