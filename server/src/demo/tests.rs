use std::collections::BTreeSet;

use domain::operation::EntityChange;

use super::*;

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
}

fn descriptors(tenant: &Tenant) -> Vec<&serde_json::Value> {
    let changes = tenant.operations.iter().filter_map(|it| match it {
        Operation::ApplyEntities { changes } => Some(changes),
        _ => None,
    });
    let puts = changes.flatten().filter_map(|it| match it {
        EntityChange::Put { descriptor, .. } => Some(descriptor),
        EntityChange::Remove { .. } => None,
    });
    puts.collect()
}

#[test]
fn two_demos_of_a_day_are_the_same() {
    let (one, other) = (Demo::new(today()), Demo::new(today()));
    assert_eq!(one.catalogue, other.catalogue);
    for (one, other) in one.tenants.iter().zip(&other.tenants) {
        assert_eq!((one.id, &one.operations), (other.id, &other.operations));
        assert_eq!(one.key, other.key);
    }
}

#[test]
fn what_tells_whether_a_demo_is_complete_is_the_same_on_every_day() {
    let later = today() + chrono::Days::new(1);
    for (one, other) in Demo::new(today()).tenants.iter().zip(&Demo::new(later).tenants) {
        assert_ne!(one.operations, other.operations);
        assert_eq!(one.operations.last(), other.operations.last());
    }
}

#[test]
fn the_demo_has_at_least_150_entities_of_all_kinds() {
    let demo = Demo::new(today());
    let all: Vec<_> = demo.tenants.iter().flat_map(descriptors).collect();
    assert!(all.len() >= 150, "{} entities", all.len());
    let kinds: BTreeSet<_> = all.iter().filter_map(|it| it["kind"].as_str()).collect();
    let expected = [
        "API",
        "Component",
        "Domain",
        "Group",
        "Location",
        "Resource",
        "System",
        "Template",
        "User",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
}

#[test]
fn every_entity_of_the_demo_is_valid_and_named_once() {
    for tenant in Demo::new(today()).tenants {
        let mut names = BTreeSet::new();
        for json in descriptors(&tenant) {
            let descriptor = domain::catalog::descriptor::Descriptor::parse(
                json.clone(),
                domain::catalog::KindSet::Extended,
            );
            let descriptor = descriptor.unwrap_or_else(|it| panic!("{json}: {it:?}"));
            assert!(names.insert(descriptor.reference().canonical()), "{json} is named twice");
        }
    }
}

#[test]
fn whatever_the_demo_uses_is_used_on_behalf_of_one_of_its_components() {
    for tenant in Demo::new(today()).tenants {
        let mut unused: BTreeSet<String> = descriptors(&tenant)
            .into_iter()
            .filter(|it| it["kind"] == "Component")
            .map(|it| format!("component:default/{}", it["metadata"]["name"].as_str().unwrap()))
            .collect();
        let components = unused.clone();
        for operation in &tenant.operations {
            let Operation::RecordUsage { entries } = operation else { continue };
            for entry in entries {
                let entity = entry.dimensions["entity"].as_ref();
                assert!(components.contains(entity), "{entity}");
                unused.remove(entity);
            }
        }
        assert_eq!(unused, BTreeSet::new(), "every component has usage");
    }
}

#[test]
fn every_tenant_of_the_demo_has_members_of_several_roles_one_of_which_reaches_some_entities_only() {
    for tenant in Demo::new(today()).tenants {
        let (mut roles, mut members, mut own) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for operation in &tenant.operations {
            match operation {
                Operation::AddMember { member, name, roles: given, .. } => {
                    assert!(name.is_some() && members.insert(*member), "{operation:?}");
                    roles.extend(given.iter().cloned());
                }
                Operation::DefineRole { role, permits } => {
                    assert!(permits.iter().any(|it| it.condition.is_some()), "{permits:?}");
                    own.insert(role.clone());
                }
                _ => {}
            }
        }
        assert!(members.len() >= 5 && roles.len() == members.len(), "{roles:?}");
        assert!(!own.is_empty() && own.is_subset(&roles), "{own:?}");
        assert!(members.contains(&tenant.key.0), "a member issues the key");
    }
}
