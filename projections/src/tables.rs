//! Where the tables are to be.

use std::fmt;
use std::path::PathBuf;

/// Where the tables are.
#[derive(Clone, Debug)]
pub enum Tables {
    /// In SQLite files of this folder. It may be deleted at any time while nothing runs.
    Folder(PathBuf),
    /// In schemas of a PostgreSQL database. Those that begin with `callboard_` and the name of a
    /// model may be dropped at any time while nothing runs.
    Postgres(PostgresTables),
}

/// A PostgreSQL database for tables.
#[derive(Clone)]
pub struct PostgresTables {
    /// Where it is and who owns the tables. A secret.
    pub(crate) url: String,
    /// The role of whoever reads on behalf of a tenant. It owns nothing and cannot log in. It is
    /// made if it is not there and the owner of the tables may make roles. Lower-case letters,
    /// digits and underscores.
    pub reader_role: String,
}

impl PostgresTables {
    /// The database at `url`, which names host, database, user and password.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), reader_role: "callboard_reader".to_owned() }
    }
}

impl fmt::Debug for PostgresTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresTables(read as {})", self.reader_role)
    }
}
