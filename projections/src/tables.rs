//! Where the tables are to be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// For how long nobody was seen to use tables before they are removed: several times as long as it
/// takes everybody to connect anew to a server that crashed, and to say so. In seconds: 10.
const UNUSED_MIN: Duration = Duration::from_secs(10);

/// For how long a partition that has more to apply was not seen to move before others than its owner
/// fill it: longer than a batch takes, and than a partition changes hands. In seconds: 3, or up to 6,
/// which each process draws by itself.
const UNMOVED_MIN: Duration = Duration::from_secs(3);

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
    /// For how long nobody was seen to use tables before they are removed.
    pub(crate) unused_min: Duration,
    /// For how long nobody was seen to fill a partition before somebody else than its owner does.
    pub(crate) unmoved_min: Duration,
}

impl PostgresTables {
    /// The database at `url`, which names host, database, user and password.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let reader_role = "callboard_reader".to_owned();
        let (unused_min, unmoved_min) = (UNUSED_MIN, UNMOVED_MIN);
        Self { url: url.into(), reader_role, unused_min, unmoved_min }
    }
}

impl fmt::Debug for PostgresTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresTables(read as {})", self.reader_role)
    }
}
