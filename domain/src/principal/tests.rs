use super::*;

const TENANT: TenantId = TenantId::from_digest([1; 16]);
const ACTOR: ActorId = ActorId::from_digest([2; 16]);

/// The names of what `principal` may not do.
fn denied(principal: &Principal) -> Vec<&'static str> {
    let missing = |it: &&Permission| principal.authorize(**it).is_err();
    Permission::ALL.iter().filter(missing).map(|it| it.name()).collect()
}

#[test]
fn a_member_may_do_everything_in_its_tenant_and_nothing_to_the_installation() {
    let member = Principal::member(TENANT, ACTOR);
    assert_eq!((member.tenant(), member.actor()), (TENANT, ACTOR));
    assert_eq!(denied(&member), ["directory.write", "directory.read"]);
}

#[test]
fn an_operator_runs_the_installation_and_has_no_catalog_of_its_own() {
    let operator = Principal::member(TenantId::SYSTEM, ACTOR);
    let granted = |it: &&Permission| operator.authorize(**it) == Ok(Scope::All);
    let granted: Vec<_> = Permission::ALL.iter().filter(granted).map(|it| it.name()).collect();
    assert_eq!(
        granted,
        [
            "directory.write",
            "directory.read",
            "tenant.read",
            "plan.write",
            "plan.read",
            "audit.read"
        ]
    );
}

#[test]
fn callboard_itself_may_do_everything_on_behalf_of_a_tenant() {
    let system = Principal::system(TENANT);
    assert_eq!((system.tenant(), system.actor()), (TENANT, ActorId::SYSTEM));
    assert!(denied(&system).is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let denied = Principal::member(TENANT, ACTOR).authorize(Permission::DirectoryWrite);
    assert_eq!(denied.unwrap_err().to_string(), "permission `directory.write` is required");
}

#[test]
fn every_permission_has_a_name_of_its_own() {
    let mut names: Vec<_> = Permission::ALL.iter().map(|it| it.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Permission::ALL.len());
}
