//! What a table set needs done now and then, beside the transactions that readers wait for.
//!
//! SQLite writes transactions to a log of its own first and copies them into the file later. Left to
//! itself, it does so within a commit, which takes tens of milliseconds then, and whoever waits for
//! what is committed waits as long. Here most of that is done on a connection of its own, which keeps
//! nobody waiting; a commit copies what is left when it starts that log anew. PostgreSQL has processes of its own for that.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::store::{self, Access, Connection, Place, StoreError};

/// After how many events something is done: 256, which is some thousand pages of the catalog.
const EVERY: usize = 256;

/// The upkeep of one table set.
#[derive(Debug)]
pub(crate) struct Upkeep {
    tables: Place,
    /// The events that were written since.
    written: AtomicUsize,
    due: Notify,
}

impl Upkeep {
    /// That of `tables`.
    pub(crate) fn of(tables: Place) -> Self {
        Self { tables, written: AtomicUsize::new(0), due: Notify::new() }
    }

    /// Notes that so many events were written.
    pub(crate) fn wrote(&self, events: usize) {
        if self.written.fetch_add(events, Ordering::Relaxed) + events >= EVERY {
            self.due.notify_one();
        }
    }

    /// Does what is due whenever it is. Never ends; can be dropped at any time.
    pub(crate) async fn run(&self) {
        let mut connection = None;
        loop {
            self.due.notified().await;
            self.written.store(0, Ordering::Relaxed);
            if let Err(error) = self.do_now(&mut connection).await {
                // The connection that writes does it in the end.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(tables = ?self.tables, error, "upkeep failed and is tried again");
                connection = None;
            }
        }
    }

    async fn do_now(&self, connection: &mut Option<Connection>) -> Result<(), StoreError> {
        if self.tables.is_shared() {
            return Ok(());
        }
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.tables.connect(Access::Write).await?),
        };
        store::write_back(connection).await
    }
}
