//! What the processes of a cluster speak, and what becomes of one that is left behind.
//!
//! The level itself is in the directory ([`domain::level`]). Each process says what it speaks when
//! it joins the owners of the log, so that nobody raises the level above what one of them
//! understands; and whoever finds a level recorded that it does not speak reads no further.

use std::fmt;

use domain::{Level, directory};
use uuid::Uuid;

use crate::Commands;
use crate::away::Away;
use crate::prepare::{Ask, Prepared};
use crate::request::CommandError;
use crate::settings::Settings;

/// A process that takes part in owning the partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The highest level it speaks.
    pub speaks: Level,
    /// Where others reach it, if they can.
    pub address: Option<String>,
    /// Which start of it this is: a later one has a greater one. Versions of before say none.
    pub start: Option<Uuid>,
}

/// Why a process cannot take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSpoken {
    /// What is recorded is written in ways it does not know.
    #[error(
        "the level of the cluster is {recorded}, and this version of Callboard speaks levels up to \
         {spoken} only: start a newer one"
    )]
    TooOld {
        /// The level of the cluster.
        recorded: Level,
        /// The highest that is spoken.
        spoken: Level,
    },
    /// What is to be written is what it has forgotten.
    #[error(
        "the level of the cluster is {recorded}, and this version of Callboard speaks levels from \
         {lowest} on only: raise the level with an older one first"
    )]
    TooNew {
        /// The level of the cluster.
        recorded: Level,
        /// The lowest that is spoken.
        lowest: Level,
    },
}

/// What is said before the start of a process. Last of all: versions of before take it for a part of the
/// address, and would not understand the level behind it.
const STARTED: &str = " start ";

impl Process {
    /// This process, which starts now.
    pub(crate) fn own(settings: &Settings) -> Self {
        let (speaks, address) = (*settings.speaks.end(), settings.address.clone());
        Self { speaks, address, start: Some(Uuid::now_v7()) }
    }

    /// The process that says `text` of itself. One that says nothing is older than levels.
    pub(crate) fn of(text: &str) -> Self {
        let (text, start) = match text.rsplit_once(STARTED) {
            Some((text, start)) => (text, Uuid::parse_str(start).ok()),
            None => (text, None),
        };
        let (level, address) = match text.split_once(" at ") {
            Some((level, address)) => (level, Some(address.to_owned())),
            None => (text, None),
        };
        let level = level.strip_prefix("level ").and_then(|it| it.parse().ok());
        Self { speaks: level.map_or(Level::FIRST, Level), address, start }
    }
}

/// What it says of itself; read back by `Process::of`.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}", self.speaks)?;
        if let Some(address) = &self.address {
            write!(f, " at {address}")?;
        }
        match &self.start {
            Some(start) => write!(f, "{STARTED}{start}"),
            None => Ok(()),
        }
    }
}

impl Commands {
    /// The processes that take part in owning the partitions, this one included.
    ///
    /// # Errors
    ///
    /// [`CommandError::Unavailable`] if the log cannot tell.
    pub async fn processes(&self) -> Result<Vec<Process>, CommandError> {
        let said = self.inner().log.members().await;
        let said = said.map_err(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the log does not say who takes part");
            CommandError::Unavailable(Away::Log)
        })?;
        match said.is_empty() {
            true if self.inner().is_shared => {
                // Not even this process has joined its owners at present.
                Err(CommandError::Unavailable(Away::Owner))
            }
            true => Ok(vec![Process::own(&self.inner().settings)]),
            false => Ok(said.iter().map(|it| Process::of(it)).collect()),
        }
    }

    /// Finds out what everybody understands, before the level is raised.
    pub(crate) async fn find_spoken(&self, prepared: &mut Prepared) -> Result<(), CommandError> {
        if let Ask::Directory(directory::Command::RaiseLevel { spoken, .. }) = &mut prepared.ask {
            let processes = self.processes().await?;
            *spoken = processes.iter().map(|it| it.speaks).min().unwrap_or(Level::FIRST);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_says_of_itself_is_understood() {
        for address in [None, Some("node-1.internal:7421".to_owned())] {
            for start in [None, Some(Uuid::now_v7())] {
                let process = Process { speaks: Level(12), address: address.clone(), start };
                assert_eq!(Process::of(&process.to_string()), process);
            }
        }
        let older = Process { speaks: Level::FIRST, address: None, start: None };
        for text in ["", "something else", "level x"] {
            assert_eq!(Process::of(text), older);
        }
    }
}
