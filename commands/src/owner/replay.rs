//! How the state comes back: the newest snapshot, then what was recorded after it.

use domain::Event;
use domain::usage;
use event_log::{Position, Recorded};

use super::{Owner, StartError};
use crate::idempotency::Remembered;
use crate::record::{Header, read_event};
use crate::state::Overlay;

/// How many records are taken in at once.
const RECORDS_MAX: usize = 4_096;

impl Owner {
    /// Brings the state to the end of the partition.
    pub(super) async fn restore(&mut self) -> Result<(), StartError> {
        self.catch_up(|_, _| ()).await
    }

    /// Takes in everything recorded since the last position applied, naming each record.
    pub(super) async fn catch_up(
        &mut self,
        mut found: impl FnMut(&Header, Position) + Send,
    ) -> Result<(), StartError> {
        let partition = self.partition;
        let failed = |source| StartError::Log { partition, source };
        let end = self.parts.log.end(partition).await.map_err(failed)?;
        if self.state.next >= end {
            return Ok(());
        }
        let mut reader = self.parts.log.read(partition, self.state.next).await.map_err(failed)?;
        while self.state.next < end {
            let records = reader.next(RECORDS_MAX).await.map_err(failed)?;
            self.apply(&records, &mut found).await?;
        }
        Ok(())
    }

    /// Takes records into the state, through the same overlay that decides.
    async fn apply(
        &mut self,
        records: &[Recorded],
        found: &mut (impl FnMut(&Header, Position) + Send),
    ) -> Result<(), StartError> {
        let partition = self.partition;
        let mut overlay = Overlay::new(&self.state);
        let mut recorded = self.state.recorded;
        let mut outcomes = Vec::new();
        let mut identities = Vec::new();
        for Recorded { position, record } in records {
            let position = *position;
            let failed = |source| StartError::Record { partition, position, source };
            let header = Header::of(record).map_err(failed)?;
            let event = read_event(record, &header, &self.parts.keyring).await.map_err(failed)?;
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
                outcomes.push((header.command, Remembered { request, position, at: header.time }));
            }
            if let Some(Event::Usage(usage::Event::Recorded { entries, .. })) = event {
                let fingerprint = |it: &usage::Entry| {
                    self.fingerprinter.of(header.tenant, &it.source, &it.id, &it.content())
                };
                identities.extend(entries.iter().map(fingerprint));
            }
            overlay.savepoint();
            found(&header, position);
        }
        let next = records.last().map_or(self.state.next, |it| it.position.next());
        let changes = overlay.into_changes();
        self.commit(changes, recorded, next);
        for (command, remembered) in outcomes {
            self.state.outcomes.insert(command, remembered);
        }
        identities.into_iter().for_each(|it| self.identities.insert(it));
        Ok(())
    }
}
