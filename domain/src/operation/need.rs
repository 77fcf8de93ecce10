//! What whoever asks for an operation must have: a permission, and for some of them a proof of the last minutes
//! of who they are. It does *not* know who has what.

use super::Operation;
use crate::principal::{Need, Permission};

impl Operation {
    /// What a principal needs to ask for it.
    #[must_use]
    pub fn need(&self) -> Need {
        let permission = match self {
            Self::SignIn { .. } | Self::ChangeCredential { .. } => return Need::Proof,
            Self::SignOut { member: None, .. } => return Need::Oneself,
            Self::RegisterTenant { .. }
            | Self::ChangeSlug { .. }
            | Self::AddHost { .. }
            | Self::RemoveHost { .. }
            | Self::SuspendTenant { .. }
            | Self::ReactivateTenant { .. }
            | Self::RaiseClusterLevel { .. } => Permission::DirectoryWrite,
            Self::RenameTenant { .. }
            | Self::ConfigureTenant { .. }
            | Self::AddProvider { .. }
            | Self::RemoveProvider { .. }
            | Self::CloseTenant => Permission::TenantWrite,
            Self::AddMember { .. }
            | Self::ChangeMemberRoles { .. }
            | Self::RemoveMember { .. }
            | Self::InviteMember { .. } => Permission::MemberWrite,
            // Who says who the members are also says which keys and sessions they have.
            Self::RevokeApiKey { member: Some(_), .. } | Self::SignOut { member: Some(_), .. } => {
                Permission::MemberWrite
            }
            Self::IssueApiKey { .. } | Self::RevokeApiKey { member: None, .. } => {
                Permission::ApiKeyWrite
            }
            Self::DefineRole { .. } | Self::ChangeRole { .. } | Self::RetireRole { .. } => {
                Permission::RoleWrite
            }
            Self::OpenCustomer { .. }
            | Self::ChangeCustomer { .. }
            | Self::CloseCustomer { .. } => Permission::CustomerWrite,
            Self::ApplyEntities { .. } => Permission::EntityWrite,
            Self::RegisterLocation { .. } | Self::DeregisterLocation { .. } => {
                Permission::LocationWrite
            }
            Self::PublishPlanVersion { .. } | Self::RetirePlan { .. } => Permission::PlanWrite,
            Self::StartSubscription { .. }
            | Self::ChangePlan { .. }
            | Self::CancelSubscription { .. }
            | Self::UndoCancellation { .. } => Permission::SubscriptionWrite,
            Self::DefineMeter { .. } | Self::ArchiveMeter { .. } => Permission::MeterWrite,
            Self::RecordUsage { .. } => Permission::UsageWrite,
            Self::ExportAudit { .. } => Permission::AuditRead,
        };
        if self.is_grave() { Need::Fresh(permission) } else { permission.into() }
    }

    /// Whether it could do most harm in a session that somebody else got to: who lets others in or gives them
    /// more, changes what is paid for, closes a tenant or takes the audit trail away. Never what takes access
    /// away from somebody: that may be in haste.
    fn is_grave(&self) -> bool {
        match self {
            Self::RegisterTenant { .. }
            | Self::ChangeSlug { .. }
            | Self::AddHost { .. }
            | Self::ReactivateTenant { .. }
            | Self::RaiseClusterLevel { .. }
            | Self::ConfigureTenant { .. }
            | Self::AddProvider { .. }
            | Self::CloseTenant
            | Self::AddMember { .. }
            | Self::ChangeMemberRoles { .. }
            | Self::InviteMember { .. }
            | Self::IssueApiKey { .. }
            | Self::DefineRole { .. }
            | Self::ChangeRole { .. }
            | Self::ChangeCustomer { .. }
            | Self::CloseCustomer { .. }
            | Self::PublishPlanVersion { .. }
            | Self::RetirePlan { .. }
            | Self::StartSubscription { .. }
            | Self::ChangePlan { .. }
            | Self::CancelSubscription { .. }
            | Self::UndoCancellation { .. }
            | Self::ExportAudit { .. } => true,
            Self::RemoveHost { .. }
            | Self::SuspendTenant { .. }
            | Self::RenameTenant { .. }
            | Self::RemoveProvider { .. }
            | Self::RemoveMember { .. }
            | Self::RevokeApiKey { .. }
            | Self::SignIn { .. }
            | Self::SignOut { .. }
            | Self::ChangeCredential { .. }
            | Self::RetireRole { .. }
            | Self::OpenCustomer { .. }
            | Self::ApplyEntities { .. }
            | Self::RegisterLocation { .. }
            | Self::DeregisterLocation { .. }
            | Self::DefineMeter { .. }
            | Self::ArchiveMeter { .. }
            | Self::RecordUsage { .. } => false,
        }
    }
}
