//! `callboard member`.

use anyhow::Result;
use domain::id::ActorId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::client::Api;
use crate::cli::Member;
use crate::config::Config;
use crate::output::{self, Format};

/// A member of the list.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    member_id: String,
    name: Option<String>,
    roles: Vec<Named>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Named {
    name: String,
}

/// An invite that was made out.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Invite {
    text: String,
    expires_at: String,
}

/// Adds, lists, invites or removes members, or gives them other roles.
///
/// # Errors
///
/// If the server does not answer or refuses.
pub(crate) async fn run(config: &Config, format: Format, command: &Member) -> Result<()> {
    let api = Api::open(config).await?;
    match command {
        Member::Add { tenant, member, roles, name } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let member = member.unwrap_or_else(|| ActorId(Uuid::now_v7())).to_string();
            let query = "mutation($input: AddMemberInput!) {
                answer: addMember(input: $input) { userErrors { message } }
            }";
            let input = json!({"memberId": member, "name": name, "roles": roles});
            api.change(tenant, query, json!({"input": input})).await?;
            let answer = json!({"memberId": member, "roles": roles});
            output::result(format, &answer, |_| format!("added {member} ({})", roles.join(", ")))
        }
        Member::List { tenant } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "query($after: String) {
                page: members(first: 100, after: $after) {
                    nodes { memberId name roles { name } }
                    pageInfo { hasNextPage endCursor }
                }
            }";
            let members: Vec<Listed> = api.all(tenant, query, json!({})).await?;
            output::result(format, &members, |members| {
                let rows: Vec<_> = members.iter().map(row).collect();
                output::table(["member", "name", "roles"], &rows)
            })
        }
        Member::Roles { tenant, member, roles } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "mutation($member: String!, $roles: [String!]!) {
                answer: changeMemberRoles(memberId: $member, roles: $roles) {
                    userErrors { message }
                }
            }";
            let variables = json!({"member": member.to_string(), "roles": roles});
            api.change(tenant, query, variables).await?;
            let answer = json!({"memberId": member.to_string(), "roles": roles});
            output::result(format, &answer, |_| format!("{member} has {}", roles.join(", ")))
        }
        Member::Invite { tenant, member, hours } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "mutation($input: InviteMemberInput!) {
                answer: inviteMember(input: $input) {
                    invite { text expiresAt } userErrors { message }
                }
            }";
            let input = json!({"memberId": member.to_string(), "hours": hours});
            let mut made = api.change(tenant, query, json!({"input": input})).await?;
            let invite: Invite = serde_json::from_value(made["invite"].take())?;
            output::result(format, &invite, |Invite { text, expires_at }| {
                format!(
                    "{text}\n\nThis is for {member}, once, until {expires_at}. It is not shown again."
                )
            })
        }
        Member::Remove { tenant, member } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "mutation($member: String!) {
                answer: removeMember(memberId: $member) { userErrors { message } }
            }";
            api.change(tenant, query, json!({"member": member.to_string()})).await?;
            let answer = json!({"memberId": member.to_string(), "done": "removed"});
            output::result(format, &answer, |_| format!("removed {member}"))
        }
    }
}

fn row(Listed { member_id, name, roles }: &Listed) -> [String; 3] {
    let roles: Vec<_> = roles.iter().map(|it| it.name.as_str()).collect();
    [member_id.clone(), name.clone().unwrap_or_default(), roles.join(", ")]
}
