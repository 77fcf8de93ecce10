//! Members and roles of one's own tenant.

use std::collections::BTreeSet;

use async_graphql::{Context, InputObject, Object, OneofObject};
use domain::operation::Operation;
use domain::principal::Predicate;
use domain::role::{Permit, RoleName};

use super::organisation::parsed;
use super::{CommandOptions, CommandPayload, malformed, submit};

/// Changing who may do what.
#[derive(Debug, Default)]
pub struct AccessMutation;

/// Somebody to belong to the tenant.
#[derive(Clone, Debug, InputObject)]
pub struct AddMemberInput {
    /// Who, `usr_…`.
    pub member_id: String,
    /// What they are called.
    pub name: Option<String>,
    /// The names of the roles they have, say `developer`.
    pub roles: Vec<String>,
}

/// What a role permits.
#[derive(Clone, Debug, InputObject)]
pub struct PermitInput {
    /// What may be done, say `entity.read`.
    pub permission: String,
    /// To which entities only; to everything if not given. For `entity.read` only.
    pub when: Option<ConditionInput>,
}

/// A condition on entities. Texts are compared in lower case.
#[derive(Clone, Debug, OneofObject)]
pub enum ConditionInput {
    /// The entity is of this kind.
    Kind(String),
    /// The entity is owned by this group, `group:namespace/name`.
    OwnedBy(String),
    /// The entity has this label.
    Label(KeyInput),
    /// The entity has this annotation.
    Annotation(KeyInput),
    /// The entity has this tag.
    Tag(String),
    /// All of these hold.
    All(Vec<ConditionInput>),
    /// Any of these holds.
    Any(Vec<ConditionInput>),
}

/// A key that is there.
#[derive(Clone, Debug, InputObject)]
pub struct KeyInput {
    /// The key.
    pub key: String,
    /// Its value; any if not given.
    pub value: Option<String>,
}

impl From<ConditionInput> for Predicate {
    fn from(condition: ConditionInput) -> Self {
        match condition {
            ConditionInput::Kind(kind) => Self::Kind(kind),
            ConditionInput::OwnedBy(owner) => Self::OwnedBy(owner),
            ConditionInput::Label(KeyInput { key, value }) => Self::Label { key, value },
            ConditionInput::Annotation(KeyInput { key, value }) => Self::Annotation { key, value },
            ConditionInput::Tag(tag) => Self::Tag(tag),
            ConditionInput::All(parts) => Self::All(parts.into_iter().map(Self::from).collect()),
            ConditionInput::Any(parts) => Self::Any(parts.into_iter().map(Self::from).collect()),
        }
    }
}

/// Reads every element of a list, or answers what is wrong with the first that is.
macro_rules! all_parsed {
    ($path:literal, $texts:expr) => {{
        let mut read = BTreeSet::new();
        for text in $texts {
            read.insert(parsed!($path, text));
        }
        read
    }};
}

/// Reads what a role permits, or answers what is wrong with it.
macro_rules! permits {
    ($inputs:expr) => {{
        let mut permits = Vec::new();
        for PermitInput { permission, when } in $inputs {
            let permission = parsed!("permits", permission);
            let condition = when.map(|it| Predicate::from(it).into());
            permits.push(Permit { permission, condition });
        }
        permits
    }};
}

#[Object]
impl AccessMutation {
    /// Let somebody belong to one's own tenant. Who does so has every permission that is given.
    async fn add_member(
        &self,
        context: &Context<'_>,
        input: AddMemberInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::AddMember {
            member: parsed!("input.memberId", input.member_id),
            name: input.name,
            roles: all_parsed!("input.roles", input.roles),
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Give a member other roles: all that they have from now on. The last owner stays one.
    async fn change_member_roles(
        &self,
        context: &Context<'_>,
        member_id: String,
        roles: Vec<String>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::ChangeMemberRoles {
            member: parsed!("memberId", member_id),
            roles: all_parsed!("roles", roles),
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Let somebody belong to one's own tenant no longer. The last owner stays one.
    async fn remove_member(
        &self,
        context: &Context<'_>,
        member_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::RemoveMember { member: parsed!("memberId", member_id) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Define a role of one's own tenant. Who does so has every permission in it.
    async fn define_role(
        &self,
        context: &Context<'_>,
        role: String,
        permits: Vec<PermitInput>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let role: RoleName = parsed!("role", role);
        let operation = Operation::DefineRole { role, permits: permits!(permits) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Let a role permit something else: all that it permits from now on, to everybody who has it.
    async fn change_role(
        &self,
        context: &Context<'_>,
        role: String,
        permits: Vec<PermitInput>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let role: RoleName = parsed!("role", role);
        let operation = Operation::ChangeRole { role, permits: permits!(permits) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Let a role permit nothing any more, for good.
    async fn retire_role(
        &self,
        context: &Context<'_>,
        role: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::RetireRole { role: parsed!("role", role) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }
}
