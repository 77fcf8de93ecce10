//! Places for tables that go when they are dropped. Not for anything but tests.

use std::time::Duration;

use tempfile::TempDir;
use vault::temporary::TemporaryDatabase;

use crate::{PostgresTables, Settings, Tables};

/// For how long nobody was seen to use tables before they are removed. In milliseconds: 200, since
/// no server of a test forgets who does.
const UNUSED_MIN: Duration = Duration::from_millis(200);

/// For how long nobody was seen to fill a partition before somebody else than its owner does. In
/// hours: 1, since tests say who fills what.
const UNMOVED_MIN: Duration = Duration::from_secs(3_600);

/// What keeps tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Files in a folder.
    Sqlite,
    /// A database that the environment says where to make.
    Postgres,
}

/// A place for tables that goes when this is dropped.
#[derive(Debug)]
pub struct Temporary(Kept);

#[derive(Debug)]
enum Kept {
    Folder(TempDir),
    Database(TemporaryDatabase),
}

impl Kind {
    /// Whether places of this kind can be made here; says so if not.
    #[must_use]
    pub fn is_there(self) -> bool {
        self == Self::Sqlite || TemporaryDatabase::can_be_made()
    }
}

impl Temporary {
    /// An empty place.
    ///
    /// # Panics
    ///
    /// If none can be made: a test cannot go on then.
    pub async fn new(kind: Kind) -> Self {
        Self(match kind {
            Kind::Sqlite => Kept::Folder(TempDir::new().expect("a folder can be made")),
            Kind::Postgres => Kept::Database(TemporaryDatabase::make().await),
        })
    }

    /// Where that is.
    #[must_use]
    pub fn tables(&self) -> Tables {
        match &self.0 {
            Kept::Folder(folder) => Tables::Folder(folder.path().to_owned()),
            Kept::Database(database) => {
                let settings = PostgresTables::new(database.url());
                let (unused_min, unmoved_min) = (UNUSED_MIN, UNMOVED_MIN);
                Tables::Postgres(PostgresTables { unused_min, unmoved_min, ..settings })
            }
        }
    }

    /// The address of its database, as its owner; none of a folder.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match &self.0 {
            Kept::Folder(_) => None,
            Kept::Database(database) => Some(database.url()),
        }
    }

    /// The same over another way to the same server, for tests of networks.
    ///
    /// # Panics
    ///
    /// If there is no server: a test cannot go on then.
    #[cfg(test)]
    pub(crate) fn tables_over(&self, way: &xtask::services::Way) -> Tables {
        match self.tables() {
            Tables::Postgres(it) => {
                let url =
                    it.url.replacen(&self.server().to_string(), &way.address().to_string(), 1);
                Tables::Postgres(PostgresTables { url, ..it })
            }
            Tables::Folder(_) => panic!("there is no way to a folder"),
        }
    }

    /// Where its server listens.
    ///
    /// # Panics
    ///
    /// If there is none: a test cannot go on then.
    #[cfg(test)]
    pub(crate) fn server(&self) -> std::net::SocketAddr {
        let url = self.url().expect("a folder has no server");
        let (_, behind) = url.split_once('@').expect("it names its user");
        let (server, _) = behind.split_once('/').expect("it names its database");
        server.parse().expect("tests have their server on this machine")
    }

    /// The usual settings for tables there.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::on(self.tables())
    }
}

/// Makes a test on each kind of tables of each function.
#[cfg(test)]
macro_rules! on_each_kind {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::temporary::Kind::Sqlite).await;
            })*
        }

        crate::temporary::on_postgres! { $($name)* }
    };
}
#[cfg(test)]
pub(crate) use on_each_kind;

/// Makes a test on PostgreSQL of each function, for those that only it can keep.
#[cfg(test)]
macro_rules! on_postgres {
    ($($name:ident)*) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let kind = crate::temporary::Kind::Postgres;
                if kind.is_there() {
                    super::$name(kind).await;
                }
            })*
        }
    };
}
#[cfg(test)]
pub(crate) use on_postgres;
