//! Tenants whose key is missing in the vault, damaged or another one, so that what they recorded
//! cannot be read.
//!
//! That is theirs alone: their sequence and chain go on as those of an erased tenant, and others of the
//! partition notice nothing. But nobody has erased it, so it must not look empty either: nothing is
//! decided or answered for such a tenant here, and no snapshot has anything of it but a mark. Once its
//! key is back, the next start reads everything again. A key that is missing is waited for a moment
//! before, since a database that has just taken the place of another may not have its row yet.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Event;
use domain::id::TenantId;
use event_log::{Position, Record, Recorded};
use tokio::time::Instant;
use vault::KeyringError;

use super::Replica;
use crate::owner::StartError;
use crate::record::{Header, ReadError, read_event};

/// How often a key that is waited for is asked for. In milliseconds: 250.
const ASKED_EVERY: Duration = Duration::from_millis(250);

/// What could not be read first of each tenant, and why.
pub(super) type Unread = BTreeMap<TenantId, (Position, ReadError)>;

impl Replica {
    /// The event of a record; none if its tenant was erased, or if this or an earlier one of it is
    /// `unread`.
    pub(super) async fn read(
        &self,
        position: Position,
        record: &Record,
        header: &Header,
        unread: &mut Unread,
    ) -> Result<Option<Event>, ReadError> {
        let tenant = header.tenant;
        if self.state.unread.contains_key(&tenant) || unread.contains_key(&tenant) {
            return Ok(None);
        }
        let keyring = &self.parts.keyring;
        let mut event = read_event(record, header, keyring).await;
        // While another one was waited for in vain, this one could come back, too.
        if matches!(event, Err(ReadError::Keyring(KeyringError::Missing(_)))) && unread.is_empty() {
            self.await_key(tenant).await;
            event = read_event(record, header, keyring).await;
        }
        match event {
            Err(error) if error.is_of_one(tenant) => {
                unread.insert(tenant, (position, error));
                Ok(None)
            }
            event => event,
        }
    }

    /// Waits for the key of a tenant if it is missing, but not for long.
    pub(super) async fn await_key(&self, tenant: TenantId) {
        let keyring = &self.parts.keyring;
        let until = Instant::now() + self.parts.settings.key_wait_max;
        while matches!(keyring.existing(tenant).await, Err(KeyringError::Missing(_)))
            && Instant::now() < until
        {
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    /// Gives up what is known of these tenants.
    pub(super) fn leave_unread(&mut self, unread: Unread) {
        for (tenant, (first, error)) in unread {
            self.state.leave_unread(tenant, Some(first));
            self.snapshots.changed(tenant);
            self.tell_unread(tenant, &error);
        }
    }

    /// Shows everybody that nothing is known of a tenant, and tells the operator why.
    pub(super) fn tell_unread(&self, tenant: TenantId, error: &ReadError) {
        self.parts.views.leave_unread(tenant);
        tracing::error!(
            partition = self.partition.0,
            %tenant,
            error = error as &dyn std::error::Error,
            "what a tenant recorded cannot be read, so nothing is done for it; put its key back into \
             the vault and start this process again"
        );
    }

    /// Makes the key of the system tenant if that has recorded nothing yet: nobody else does. Fails if it
    /// lacks one otherwise: nobody could sign in or be found, so that is no matter of one tenant alone.
    pub(crate) async fn ensure_system_key(&self) -> Result<(), StartError> {
        let (partition, keyring) = (self.partition, &self.parts.keyring);
        let found = if self.state.tenants.contains_key(&TenantId::SYSTEM) {
            keyring.existing(TenantId::SYSTEM).await
        } else {
            keyring.tenant(TenantId::SYSTEM).await
        };
        found.map(drop).map_err(|source| StartError::Keys { partition, source })
    }

    /// Why a tenant could still not be read that could not be when a snapshot was saved; none if it
    /// could. `first` is what could not be read then.
    pub(super) async fn why_unread(
        &self,
        tenant: TenantId,
        first: Option<Position>,
    ) -> Result<Option<ReadError>, StartError> {
        let partition = self.partition;
        let Some(position) = first else {
            return match self.parts.keyring.existing(tenant).await {
                Ok(_) | Err(KeyringError::TenantErased(_)) => Ok(None),
                Err(error) if error.is_of_one() => Ok(Some(error.into())),
                Err(source) => Err(StartError::Keys { partition, source }),
            };
        };
        let failed = |source| StartError::Log { partition, source };
        let mut reader = self.parts.log.read(partition, position).await.map_err(failed)?;
        let found = reader.next(1).await.map_err(failed)?;
        let Some(Recorded { record, .. }) = found.first() else { return Ok(None) };
        let failed = |source| StartError::Record { partition, position, source };
        let header = Header::of(record).map_err(failed)?;
        match read_event(record, &header, &self.parts.keyring).await {
            Ok(_) => Ok(None),
            Err(error) if error.is_of_one(header.tenant) => Ok(Some(error)),
            Err(source) => Err(failed(source)),
        }
    }
}
