//! Changes of a tenant, asked by itself.

use domain::Stream;
use domain::operation::ExpectedRevision;
use domain::tenant::{Command, Tenant};

use super::{Decision, Refusal};

impl Decision<'_, '_> {
    /// The aggregate itself says what a suspended tenant may do.
    pub(super) fn change_tenant(
        &mut self,
        command: &Command,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        self.expect(&Stream::Tenant(self.tenant), expected, &self.tenant)?;
        self.decide::<Tenant>(self.tenant, command)
    }
}
