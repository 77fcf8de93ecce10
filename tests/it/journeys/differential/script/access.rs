//! Members, roles and API keys.

use serde_json::{Value, json};

use super::{Ask, Script};

const MEMBERS: [&str; 4] = [
    "usr_0198000000007000800000000000000a",
    "usr_0198000000007000800000000000000b",
    "usr_0198000000007000800000000000000c",
    "nonsense",
];

const ROLES: [&str; 3] = ["stagehands", "box-office", "viewer"];

pub(super) fn add_member(script: &mut Script, _: usize) -> Ask {
    let name = script.pick_of(&[json!("Ada"), json!("Grace"), Value::Null]);
    let input = json!({"memberId": member(script), "name": name, "roles": roles(script)});
    let call = "addMember(input: $input, options: $options)";
    script.mutation(call, "", "$input: AddMemberInput!", json!({"input": input}))
}

pub(super) fn change_roles(script: &mut Script, _: usize) -> Ask {
    let variables = json!({"member": member(script), "roles": roles(script)});
    let call = "changeMemberRoles(memberId: $member, roles: $roles, options: $options)";
    script.mutation(call, "", "$member: String!, $roles: [String!]!", variables)
}

pub(super) fn remove_member(script: &mut Script, _: usize) -> Ask {
    let variables = json!({"member": member(script)});
    let call = "removeMember(memberId: $member, options: $options)";
    script.mutation(call, "", "$member: String!", variables)
}

pub(super) fn define_role(script: &mut Script, _: usize) -> Ask {
    role(script, "defineRole")
}

pub(super) fn change_role(script: &mut Script, _: usize) -> Ask {
    role(script, "changeRole")
}

pub(super) fn retire_role(script: &mut Script, _: usize) -> Ask {
    let variables = json!({"role": script.pick_of(&ROLES)});
    script.mutation("retireRole(role: $role, options: $options)", "", "$role: String!", variables)
}

/// Which key it is is read from the members: the answer to a repetition need not say so.
pub(super) fn issue_api_key(script: &mut Script, _: usize) -> Ask {
    let day: chrono::NaiveDate = script.day.parse().expect("it is a day");
    let days = if script.one_in(8) { 500 } else { 10 + script.random.below(100) };
    let ends = (day + chrono::Days::new(days)).to_string();
    let scope = ["entity.read", "usage.write", "entity.raed", "api-key.write"];
    let scope = if script.one_in(6) { scope[2 + script.below(2)] } else { scope[script.below(2)] };
    let input = json!({"name": "ci", "scope": [scope], "expiresAt": format!("{ends}T00:00:00Z")});
    let call = "issueApiKey(input: $input, options: $options)";
    script.mutation(call, "", "$input: IssueApiKeyInput!", json!({"input": input}))
}

pub(super) fn revoke_api_key(script: &mut Script, tenant: usize) -> Ask {
    let variables = json!({"key": script.id(tenant, "key")});
    script.mutation("revokeApiKey(keyId: $key, options: $options)", "", "$key: String!", variables)
}

/// The text of an invite is another one each time, so it is not asked for.
pub(super) fn invite_member(script: &mut Script, _: usize) -> Ask {
    let hours = script.pick_of(&[1, 168, 1_000]);
    let input = json!({"memberId": member(script), "hours": hours});
    let call = "inviteMember(input: $input, options: $options)";
    script.mutation(call, "", "$input: InviteMemberInput!", json!({"input": input}))
}

pub(super) fn sign_out(script: &mut Script, _: usize) -> Ask {
    let input = json!({"memberId": member(script), "everywhere": true});
    let call = "signOut(input: $input, options: $options)";
    script.mutation(call, "", "$input: SignOutInput!", json!({"input": input}))
}

/// All members and roles.
pub(super) fn lists(script: &mut Script, _: usize) -> Ask {
    let members = "members(first: 100) { totalCount nodes { memberId name addedAt revision \
                   roles { name isBuiltIn isRetired } apiKeys { keyId name scope expiresAt } } }";
    let roles = "roles(first: 100) { totalCount nodes { name isRetired revision permits { \
                 permission when { kind ownedBy tag } } } }";
    let query = match script.below(4) {
        0 => format!("{{ {roles} }}"),
        _ => format!("{{ {members} {roles} }}"),
    };
    Ask::GraphQl { query, variables: json!({}) }
}

fn member(script: &mut Script) -> &'static str {
    if script.one_in(20) { MEMBERS[3] } else { MEMBERS[script.below(3)] }
}

fn roles(script: &mut Script) -> Value {
    match script.below(6) {
        0 => json!([script.pick_of(&ROLES), "developer"]),
        1 => json!([script.pick_of(&["nobody", "No role", "owner"])]),
        _ => json!([script.pick_of(&["viewer", "developer", "billing", "auditor"])]),
    }
}

fn role(script: &mut Script, what: &str) -> Ask {
    let conditions = [
        Value::Null,
        json!({"tag": "public"}),
        json!({"any": [{"kind": "api"}, {"ownedBy": "group:default/crew"}]}),
        json!({"ownedBy": "user:default/ada"}),
    ];
    let permission = script.pick_of(&["entity.read", "entity.write", "meter.read"]);
    let permits = json!([{"permission": permission, "when": script.pick_of(&conditions)}]);
    let variables = json!({"role": script.pick_of(&ROLES), "permits": permits});
    let call = format!("{what}(role: $role, permits: $permits, options: $options)");
    script.mutation(&call, "", "$role: String!, $permits: [PermitInput!]!", variables)
}
