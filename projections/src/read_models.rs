//! What one request reads.

use std::time::Duration;

use event_log::{Partition, Position};

use crate::error::NotYetVisible;
use crate::model::Model;

/// The table sets that were live when a request began. They stay readable for as long as this
/// is held, also when a rebuilt generation takes their place meanwhile. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReadModels {}

impl ReadModels {
    /// The incarnation of the log these models follow; positions of another one mean nothing.
    #[must_use]
    pub fn incarnation(&self) -> &str {
        unimplemented!()
    }

    /// Waits until each of `models` has applied everything of `partition` up to and including
    /// `position`, at most `patience`.
    ///
    /// A model that follows the log in this process wakes its waiters; one that is filled by
    /// another process is asked again at short intervals.
    ///
    /// # Errors
    ///
    /// [`NotYetVisible`] names the first model that is still behind then, and by how much.
    pub async fn wait_for(
        &self,
        models: &[Model],
        partition: Partition,
        position: Position,
        patience: Duration,
    ) -> Result<(), NotYetVisible> {
        let _ = (models, partition, position, patience);
        unimplemented!()
    }
}
