//! How the state comes back: the newest snapshot, then what was recorded after it.

use domain::directory::{self, Directory};
use domain::id::{CommandId, TenantId};
use domain::{Event, Level, usage};
use event_log::{Attribute, LogError, Position, Recorded};

use super::unread::Unread;
use super::{Inherited, Replica, Trigger};
use crate::idempotency::Remembered;
use crate::identities::Fingerprint;
use crate::level::NotSpoken;
use crate::owner::StartError;
use crate::reactions::effects_of;
use crate::record::Header;
use crate::snapshot::cover::CoverError;
use crate::snapshot::{self, FOLD_VERSION, RestoreError, Restored, Restoring};
use crate::state::Overlay;

/// How the stream of usage is called in records.
const USAGE: &str = "usage";

/// How many records are taken in at once.
const RECORDS_MAX: usize = 4_096;

impl Replica {
    /// Brings the state to the end of the partition.
    pub(super) async fn restore(&mut self) -> Result<(), StartError> {
        let followed = self.take_snapshot_back().await?;
        self.inherited = Inherited::between(followed, self.state.next);
        self.recall_identities().await?;
        self.catch_up(|_, _| ()).await?;
        self.applied.send_replace(self.state.next);
        self.writes()
    }

    /// Fails if what is recorded from now on at `level` may not be understood here.
    fn understands(&self, level: Level) -> Result<(), NotSpoken> {
        let spoken = *self.parts.settings.speaks.end();
        if level <= spoken {
            return Ok(());
        }
        let outgrown = NotSpoken::TooOld { recorded: level, spoken };
        self.parts.excluded.send_replace(Some(outgrown.into()));
        Err(outgrown)
    }

    /// Fails if what is to be written at the level of the cluster cannot be written here any more.
    fn writes(&self) -> Result<(), StartError> {
        let lowest = *self.parts.settings.speaks.start();
        let directory = self.state.aggregate::<Directory>(TenantId::SYSTEM, ());
        match directory.map(Directory::level) {
            Some(recorded) if recorded < lowest => {
                Err(NotSpoken::TooNew { recorded, lowest }.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Begins with the newest snapshot, if there is one that can be used, and says before which
    /// position everything is known to have been reacted to.
    async fn take_snapshot_back(&mut self) -> Result<Position, StartError> {
        let partition = self.partition;
        let failed = |source| StartError::Log { partition, source };
        let Some(found) = self.parts.log.snapshot(partition, FOLD_VERSION).await.map_err(failed)?
        else {
            return Ok(Position::START);
        };
        let (values, keyring) = (self.parts.settings.values, &self.parts.keyring);
        match snapshot::restore(&found, Restoring { partition, values, keyring }).await {
            Ok(Some(Restored { state, snapshots, followed })) => {
                let directory = state.aggregate::<Directory>(TenantId::SYSTEM, ());
                directory.map_or(Ok(()), |it| self.understands(it.level()))?;
                if let Some(tenant) = state.unread.keys().next() {
                    self.await_key(*tenant).await;
                }
                for (tenant, first) in &state.unread {
                    let Some(error) = self.why_unread(*tenant, *first).await? else {
                        tracing::info!(partition = partition.0, %tenant, "its key is back");
                        // Nothing of it is in the snapshot, so everything is read again.
                        return Ok(Position::START);
                    };
                    self.tell_unread(*tenant, &error);
                }
                for (tenant, it) in &state.tenants {
                    it.streams.iter().for_each(|(stream, slot)| {
                        self.parts.views.show(*tenant, stream, slot);
                    });
                }
                self.state = state;
                self.snapshots = snapshots;
                Ok(followed)
            }
            Ok(None) => Ok(Position::START),
            // Without it everything would be read again, for which the key is needed too.
            Err(RestoreError::Cover { source: CoverError::Keyring(source), .. })
                if source.is_away() =>
            {
                Err(StartError::Keys { partition, source })
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(partition = partition.0, error, "a snapshot is of no use");
                Ok(Position::START)
            }
        }
    }

    /// Reads usage again that is in the snapshot but not yet in the identity index.
    async fn recall_identities(&mut self) -> Result<(), StartError> {
        let partition = self.partition;
        let failed = |source| StartError::Log { partition, source };
        let mut from = self.identities.sealed_upto();
        if from >= self.state.next {
            return Ok(());
        }
        let mut reader = self.parts.log.read(partition, from).await.map_err(failed)?;
        while from < self.state.next {
            let mut unread = Unread::new();
            for Recorded { position, record } in reader.next(RECORDS_MAX).await.map_err(failed)? {
                from = position.next();
                if record.attribute(Attribute::Subject) == USAGE && from <= self.state.next {
                    let failed = |source| StartError::Record { partition, position, source };
                    let header = Header::of(&record).map_err(failed)?;
                    let event = self.read(position, &record, &header, &mut unread).await;
                    let found = self.fingerprints(&header, event.map_err(failed)?.as_ref());
                    found.into_iter().for_each(|it| self.identities.insert(it));
                }
            }
            self.leave_unread(unread);
            // What was read beyond the state is applied, and its identities taken in, later.
            self.seal_identities_if_due(from.min(self.state.next));
        }
        Ok(())
    }

    /// The identities of usage that an event records.
    fn fingerprints(&self, header: &Header, event: Option<&Event>) -> Vec<Fingerprint> {
        let Some(Event::Usage(usage::Event::Recorded { entries, .. })) = event else {
            return Vec::new();
        };
        let fingerprint = |it: &usage::Entry| {
            self.fingerprinter.of(header.tenant, &it.source, &it.id, &it.content())
        };
        entries.iter().map(fingerprint).collect()
    }

    /// Takes in everything recorded since the last position applied, and names each record
    /// and its command once it is part of the state.
    pub(crate) async fn catch_up(
        &mut self,
        mut found: impl FnMut(CommandId, Position) + Send,
    ) -> Result<(), StartError> {
        let partition = self.partition;
        let failed = |source| StartError::Log { partition, source };
        let end = self.parts.log.end(partition).await.map_err(failed)?;
        let from = self.state.next;
        if from > end {
            // What was durable is gone: whoever went on would write over it.
            return Err(failed(LogError::BeyondEnd { partition, asked: from, end }));
        }
        if from == end {
            return Ok(());
        }
        #[cfg(test)]
        let from = match self.parts.settings.sabotage {
            Some(crate::settings::Sabotage::ReadAll) => Position::START,
            _ => from,
        };
        let mut reader = self.parts.log.read(partition, from).await.map_err(failed)?;
        while self.state.next < end {
            let records = reader.next(RECORDS_MAX).await.map_err(failed)?;
            #[cfg(test)]
            let records: Vec<_> =
                records.into_iter().filter(|it| it.position >= self.state.next).collect();
            self.apply(&records, &mut found).await?;
        }
        Ok(())
    }

    /// Takes records into the state, through the same overlay that decides.
    pub(super) async fn apply(
        &mut self,
        records: &[Recorded],
        found: &mut (impl FnMut(CommandId, Position) + Send),
    ) -> Result<(), StartError> {
        let partition = self.partition;
        let mut overlay = Overlay::new(&self.state);
        let mut recorded = self.state.recorded;
        let mut outcomes = Vec::new();
        let mut identities = Vec::new();
        let mut triggers = Vec::new();
        let mut taken = Vec::with_capacity(records.len());
        let mut unread = Unread::new();
        for Recorded { position, record } in records {
            let position = *position;
            let failed = |source| StartError::Record { partition, position, source };
            let header = Header::of(record).map_err(failed)?;
            let event = self.read(position, record, &header, &mut unread).await.map_err(failed)?;
            if let Some(Event::Directory(directory::Event::LevelRaised { to, .. })) = event {
                // What comes after it may be of versions that cannot be read here.
                self.understands(to)?;
            }
            let sequence = overlay.tally(header.tenant).sequence + 1;
            let revision = match &event {
                Some(event) => overlay.evolve(header.tenant, header.stream, event),
                None => header.revision,
            };
            if (sequence, revision) != (header.sequence, header.revision) {
                return Err(StartError::Gap {
                    partition,
                    position,
                    expected: format!("sequence {sequence}, revision {revision}"),
                    got: format!("sequence {}, revision {}", header.sequence, header.revision),
                });
            }
            overlay.advance(header.tenant, record.link());
            recorded = recorded.max(header.time);
            if let Some(request) = header.request.filter(|_| header.place == 1) {
                let remembered = Remembered { request, position, at: header.time };
                outcomes.push((header.tenant, header.command, remembered));
            }
            let effects = effects_of(record.attribute(Attribute::Type), &header, event.as_ref());
            triggers.extend((!effects.is_empty()).then_some(Trigger {
                position,
                tenant: header.tenant,
                sequence,
                effects,
            }));
            identities.extend(self.fingerprints(&header, event.as_ref()));
            overlay.savepoint();
            taken.push((header.command, position));
        }
        let next = records.last().map_or(self.state.next, |it| it.position.next());
        let changes = overlay.into_changes();
        self.commit(changes, recorded, next);
        self.leave_unread(unread);
        triggers.into_iter().for_each(|it| self.inherited.note(it));
        taken.into_iter().for_each(|(command, position)| found(command, position));
        for (tenant, command, remembered) in outcomes {
            self.state.outcomes.insert(tenant, command, remembered);
        }
        identities.into_iter().for_each(|it| self.identities.insert(it));
        self.seal_identities_if_due(next);
        metrics::counter!("owner_records_read_total").increment(records.len() as u64);
        self.snapshots.count(records.len());
        Ok(())
    }
}
