//! Where catalog files are, and what may be read from there.
//!
//! A file may refer to others of its own repository only, symlinks followed; an address to
//! others of its own origin and, where the host holds many repositories, its own repository.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use domain::location::LocationKind;
use outbound::{Client, OutboundError, Request};
use url::Url;

use super::documents::FILE_BYTES_MAX;

/// Where version control keeps what is its own, in any case: some file systems do not tell.
const CONTROL: [&str; 8] = [".git", ".hg", ".svn", ".bzr", ".jj", ".sl", "_darcs", "CVS"];

/// One file, and how far it may refer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A file on this machine.
    File {
        /// The repository it is in: a real path.
        root: PathBuf,
        /// The file: a real path within `root`.
        path: PathBuf,
    },
    /// A file on the network.
    Url(Url),
}

/// Why a place cannot be read or referred to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// It leaves the repository.
    #[error("`{0}` is outside the repository of the file that names it")]
    Outside(String),
    /// It is a link that leaves the repository.
    #[error("`{0}` is a link to what is outside its repository")]
    Leaves(String),
    /// It is what version control keeps beside the files: settings with credentials, say.
    #[error("`{0}` belongs to the version control of its repository")]
    Control(String),
    /// It is not there.
    #[error("`{0}` does not exist")]
    Missing(String),
    /// It cannot be read.
    #[error("could not read `{name}`: {source}")]
    Unreadable {
        /// What was asked for.
        name: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is a folder, a pipe or the like.
    #[error("`{0}` is not a file")]
    NotFile(String),
    /// It is larger than a catalog file may be.
    #[error("`{0}` is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge(String),
    /// It is not text.
    #[error("`{0}` is not UTF-8 text")]
    NotText(String),
    /// The network did not deliver it.
    #[error("could not fetch `{name}`: {source}")]
    Outbound {
        /// What was asked for.
        name: String,
        /// The cause.
        #[source]
        source: OutboundError,
    },
    /// The server of the address refused.
    #[error("could not fetch `{name}`: the server answered {status}")]
    Status {
        /// What was asked for.
        name: String,
        /// The status code.
        status: u16,
    },
    /// It is neither a relative path nor an `http(s)` address.
    #[error("expected a relative path or an `http(s)` address, got `{0}`")]
    Malformed(String),
}

impl Place {
    /// The file at `path`; its repository is the nearest folder above with a `.git`, or else
    /// `fallback_root`.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Missing`] if it does not exist, [`PlaceError::Leaves`] if it is a link that
    /// leaves the repository.
    pub(crate) fn file(path: &Path, fallback_root: &Path) -> Result<Self, PlaceError> {
        let name = path.to_string_lossy();
        let root = repository_on_disk(fallback_root)
            .map_err(|source| PlaceError::Unreadable { name: name.clone().into_owned(), source })?;
        within(&root, path, &name).map_err(|error| match error {
            PlaceError::Outside(name) => PlaceError::Leaves(name),
            other => other,
        })
    }

    /// What `target` means in this file.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] if it leaves the repository or does not exist.
    pub(crate) fn refer(&self, target: &str) -> Result<Self, PlaceError> {
        let address = target.starts_with("https://") || target.starts_with("http://");
        match self {
            Self::File { root, path } if !address => {
                let folder = path.parent().unwrap_or(root);
                within(root, &folder.join(target), target)
            }
            Self::File { .. } => Err(PlaceError::Outside(target.to_owned())),
            Self::Url(url) => {
                let joined =
                    url.join(target).map_err(|_| PlaceError::Malformed(target.to_owned()))?;
                if joined.origin() == url.origin() && repository(&joined) == repository(url) {
                    Ok(Self::Url(joined))
                } else {
                    Err(PlaceError::Outside(target.to_owned()))
                }
            }
        }
    }

    /// The files that `target`, which may be a glob, of a Location in this file names, and why
    /// others that it names are none. A Location may name any address.
    pub(crate) fn targets(&self, target: &str) -> Vec<Result<Self, PlaceError>> {
        if let Ok(url) = Url::parse(target)
            && matches!(url.scheme(), "http" | "https")
        {
            return vec![Ok(Self::Url(url))];
        }
        let Self::File { root, path } = self else { return vec![self.refer(target)] };
        if !target.contains(['*', '?', '[']) {
            return vec![self.refer(target)];
        }
        let folder = path.parent().unwrap_or(root);
        let pattern = glob::Pattern::escape(&folder.to_string_lossy());
        let Ok(found) = glob::glob(&format!("{pattern}/{target}")) else {
            return vec![Err(PlaceError::Malformed(target.to_owned()))];
        };
        // In the order of their names, as `glob` has them.
        found.flatten().map(|entry| within(root, &entry, &shown(root, &entry))).collect()
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] if it cannot be read, is too large or is not text.
    pub(crate) async fn read(&self, client: &Client) -> Result<String, PlaceError> {
        let name = self.to_string();
        let bytes = match self {
            Self::File { path, .. } => read_file(path, &name).await?,
            Self::Url(url) => fetch(url, client, &name).await?,
        };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(PlaceError::TooLarge(name));
        }
        String::from_utf8(bytes).map_err(|_| PlaceError::NotText(name))
    }

    /// The location this file is, as the catalog knows it: its kind and its target. A file is
    /// named from its repository's folder down. Outside of a repository nothing but its path tells
    /// a folder from another one of the same name, however it was asked for; since nothing of the
    /// machine is to show, a digest stands for that.
    pub(crate) fn location(&self) -> (LocationKind, String) {
        match self {
            Self::File { root, path } if root.join(".git").exists() => {
                let below = path.strip_prefix(root).unwrap_or(path);
                let repository = Path::new(root.file_name().unwrap_or_default());
                (LocationKind::File, repository.join(below).to_string_lossy().into_owned())
            }
            Self::File { root, path } => {
                let folder = path.parent().unwrap_or(root);
                let digest = digest(folder.as_os_str().as_bytes());
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                (LocationKind::File, format!("{name}-{digest:016x}/{file}"))
            }
            Self::Url(url) => (LocationKind::Url, url.to_string()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { root, path } => f.write_str(&shown(root, path)),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// How a file that cannot become a [`Place`] is named: as one would be, from its repository's
/// folder down.
pub(crate) fn name(path: &Path, fallback_root: &Path) -> String {
    let folder = path.parent().unwrap_or(Path::new("")).canonicalize();
    match (repository_on_disk(fallback_root), folder, path.file_name()) {
        (Ok(root), Ok(folder), Some(name)) => shown(&root, &folder.join(name)),
        _ => path.to_string_lossy().into_owned(),
    }
}

/// The real path of the nearest folder above with a `.git`, or else of `fallback`.
fn repository_on_disk(fallback: &Path) -> std::io::Result<PathBuf> {
    let fallback = fallback.canonicalize()?;
    let root = fallback.ancestors().find(|it| it.join(".git").exists()).unwrap_or(&fallback);
    Ok(root.to_owned())
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// The real path of `path`, which was asked for as `name`, if it is within `root`.
fn within(root: &Path, path: &Path, name: &str) -> Result<Place, PlaceError> {
    let real = path.canonicalize().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => PlaceError::Missing(name.to_owned()),
        _ => PlaceError::Unreadable { name: name.to_owned(), source },
    })?;
    let Ok(below) = real.strip_prefix(root) else {
        return Err(PlaceError::Outside(name.to_owned()));
    };
    if below.components().any(|it| is_control(it.as_os_str())) {
        return Err(PlaceError::Control(name.to_owned()));
    }
    Ok(Place::File { root: root.to_owned(), path: real })
}

/// The 64-bit FNV-1a hash, which stays what it is: locations are named by it for ever.
fn digest(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Whether a file or folder of this name is version control's own.
fn is_control(name: &OsStr) -> bool {
    CONTROL.iter().any(|it| name.eq_ignore_ascii_case(it))
}

/// What names the repository on hosts that hold many: the first two parts of the path.
fn repository(url: &Url) -> Option<Vec<&str>> {
    let parts: Vec<&str> = url.path_segments()?.collect();
    (parts.len() > 2).then(|| parts[..2].to_vec())
}

async fn read_file(path: &Path, name: &str) -> Result<Vec<u8>, PlaceError> {
    let unreadable = |source| PlaceError::Unreadable { name: name.to_owned(), source };
    let metadata = tokio::fs::metadata(path).await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(PlaceError::NotFile(name.to_owned()));
    }
    if metadata.len() > FILE_BYTES_MAX as u64 {
        return Err(PlaceError::TooLarge(name.to_owned()));
    }
    tokio::fs::read(path).await.map_err(unreadable)
}

async fn fetch(url: &Url, client: &Client, name: &str) -> Result<Vec<u8>, PlaceError> {
    let answer = client.send(Request::get(url.clone())).await;
    let answer = answer.map_err(|source| PlaceError::Outbound { name: name.to_owned(), source })?;
    match answer.status {
        200 => Ok(answer.body.into()),
        status => Err(PlaceError::Status { name: name.to_owned(), status }),
    }
}

#[cfg(test)]
mod tests;
