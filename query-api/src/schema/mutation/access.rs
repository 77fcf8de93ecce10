//! Members and roles of one's own tenant. For API keys see [`super::api_keys`].

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, OneofObject};
use domain::operation::Operation;
use domain::principal::Predicate;
use domain::role::{Permit, RoleName};

use super::{CommandOptions, CommandPayload, UserError, refused, submit, user_error};

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
    /// To which entities only; to everything if not given. For `entity.read` and `entity.write`.
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

/// Reads an argument, or says what is wrong with it.
pub(super) fn read<T: FromStr<Err: fmt::Display>>(path: &str, text: &str) -> Result<T, UserError> {
    text.parse().map_err(|it| user_error("BAD_USER_INPUT", it, Some(path)))
}

fn read_roles(path: &str, names: &[String]) -> Result<BTreeSet<RoleName>, UserError> {
    names.iter().map(|it| read(path, it)).collect()
}

fn read_permits(inputs: Vec<PermitInput>) -> Result<Vec<Permit>, UserError> {
    let permit = |PermitInput { permission, when }| {
        let condition = when.map(|it| Arc::new(Predicate::from(it)));
        Ok(Permit { permission: read("permits", &permission)?, condition })
    };
    inputs.into_iter().map(permit).collect()
}

/// Submits what was read, or answers what is wrong with it.
pub(super) async fn ask(
    context: &Context<'_>,
    read: Result<Operation, UserError>,
    options: Option<CommandOptions>,
) -> async_graphql::Result<Option<CommandPayload>> {
    let submitted = match read {
        Ok(operation) => submit(context, operation, options).await?,
        Err(error) => refused(vec![error]),
    };
    Ok(Some(submitted.into()))
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
        let AddMemberInput { member_id, name, roles } = input;
        let operation = || {
            let member = read("input.memberId", &member_id)?;
            Ok(Operation::AddMember { member, name, roles: read_roles("input.roles", &roles)? })
        };
        ask(context, operation(), options).await
    }

    /// Give a member other roles: all that they have from now on. The last owner stays one.
    async fn change_member_roles(
        &self,
        context: &Context<'_>,
        member_id: String,
        roles: Vec<String>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = || {
            let member = read("memberId", &member_id)?;
            Ok(Operation::ChangeMemberRoles { member, roles: read_roles("roles", &roles)? })
        };
        ask(context, operation(), options).await
    }

    /// Let somebody belong to one's own tenant no longer. The last owner stays one.
    async fn remove_member(
        &self,
        context: &Context<'_>,
        member_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let member = read("memberId", &member_id);
        ask(context, member.map(|member| Operation::RemoveMember { member }), options).await
    }

    /// Define a role of one's own tenant. Who does so has every permission in it.
    async fn define_role(
        &self,
        context: &Context<'_>,
        role: String,
        permits: Vec<PermitInput>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = || {
            let role = read("role", &role)?;
            Ok(Operation::DefineRole { role, permits: read_permits(permits)? })
        };
        ask(context, operation(), options).await
    }

    /// Let a role permit something else: all that it permits from now on, to everybody who has it.
    async fn change_role(
        &self,
        context: &Context<'_>,
        role: String,
        permits: Vec<PermitInput>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = || {
            let role = read("role", &role)?;
            Ok(Operation::ChangeRole { role, permits: read_permits(permits)? })
        };
        ask(context, operation(), options).await
    }

    /// Let a role permit nothing any more, for good.
    async fn retire_role(
        &self,
        context: &Context<'_>,
        role: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let role = read("role", &role);
        ask(context, role.map(|role| Operation::RetireRole { role }), options).await
    }
}
