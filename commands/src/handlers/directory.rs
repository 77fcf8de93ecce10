//! Changes of the installation's directory.

use domain::Stream;
use domain::directory::{Command, Directory, Slug};
use domain::id::{ActorId, TenantId};
use domain::operation::ExpectedRevision;
use domain::tenant::Name;

use super::{Decision, Refusal};

impl Decision<'_, '_> {
    /// Registers a tenant on the partition with the fewest.
    pub(super) fn register_tenant(
        &mut self,
        tenant: TenantId,
        slug: &Slug,
        name: &Name,
        owner: Option<ActorId>,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        let directory = self.overlay.aggregate::<Directory>(self.tenant, ());
        let partition = directory.map_or(0, |it| it.least_loaded(self.around.partitions));
        let (slug, name) = (slug.clone(), name.clone());
        let register = Command::RegisterTenant { tenant, slug, name, partition, owner };
        self.directory(&register, expected)
    }

    pub(super) fn directory(
        &mut self,
        command: &Command,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        self.expect(&Stream::Directory, expected, &Stream::Directory)?;
        self.decide::<Directory>((), command)
    }
}
