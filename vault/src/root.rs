//! The root key: the one secret kept outside the vault, under which every key in it is stored.
//!
//! Whoever has the vault's storage without the root key has nothing. It is a file of its own so
//! that it can be backed up, mounted or handed over apart from the data.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cipher::{Cipher, KEY_BYTES, Secret, fill, random_secret};
use crate::port::{KeyName, Wrapped};

/// The first byte of every wrapped key: how it is wrapped.
const WRAPPING_VERSION: u8 = 1;

/// Why there is no root key. All of these are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The file cannot be read or made.
    #[error("the root key file {path} cannot be {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed, in words.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error("the root key file {path} has mode {mode:04o}: expected 0600, so `chmod 600` it")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to another user.
    #[error("the root key file {path} belongs to user {owner}: expected user {expected}")]
    Owner {
        /// The file.
        path: PathBuf,
        /// The user it belongs to.
        owner: u32,
        /// The user this process runs as.
        expected: u32,
    },
    /// There is something else than a key.
    #[error("expected a root key of 64 hex digits in {place}")]
    Malformed {
        /// The file or setting.
        place: String,
    },
}

/// The root key, 256 bits.
#[derive(Debug)]
pub struct Root(Cipher);

impl Root {
    /// The root key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(Cipher::gcm(bytes))
    }

    /// The root key written as 64 hex digits, as in a setting or a file; white space around it
    /// is ignored. `place` is named in the error.
    ///
    /// # Errors
    ///
    /// [`RootError::Malformed`] if it is anything else.
    pub fn from_hex(text: &str, place: &str) -> Result<Self, RootError> {
        let malformed = || RootError::Malformed { place: place.to_owned() };
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(malformed());
        }
        let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let mut bytes = Secret::default();
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(malformed)?;
            *byte = high << 4 | low;
        }
        Ok(Self::from_bytes(&bytes))
    }

    /// The root key in the file at `path`, which is made on first use: random, readable and
    /// writable by its owner only. Processes that start at once agree on one key.
    ///
    /// # Errors
    ///
    /// [`RootError`] if the file cannot be read or made, is open to others, belongs to another
    /// user or holds no key.
    pub fn open_or_create(path: &Path) -> Result<Self, RootError> {
        let failed = |doing| move |source| RootError::Io { path: path.to_owned(), doing, source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(failed("created"))?;
                File::open(path).map_err(failed("opened"))?
            }
            Err(error) => return Err(failed("opened")(error)),
        };
        let metadata = file.metadata().map_err(failed("inspected"))?;
        check(path, metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw())?;
        let mut text = Zeroizing::new(String::with_capacity(4 * KEY_BYTES));
        let limit = 4 * u64::try_from(KEY_BYTES).expect("a small number");
        file.take(limit).read_to_string(&mut text).map_err(failed("read"))?;
        Self::from_hex(&text, &path.display().to_string())
    }

    /// Encrypts a key for storage, bound to its name.
    pub(crate) fn wrap(&self, name: KeyName, key: &[u8]) -> Wrapped {
        let mut wrapped = vec![WRAPPING_VERSION];
        wrapped.extend(self.0.seal(&context(name), key));
        Wrapped(wrapped)
    }

    /// Decrypts a stored key; none if it was wrapped under another root key or another name, or
    /// is damaged.
    pub(crate) fn unwrap(&self, name: KeyName, wrapped: &Wrapped) -> Option<Zeroizing<Vec<u8>>> {
        let (version, sealed) = wrapped.0.split_first()?;
        if *version != WRAPPING_VERSION {
            return None;
        }
        self.0.open(&context(name), sealed).map(Zeroizing::new)
    }
}

/// Says what is wrong with the file's mode or owner.
fn check(path: &Path, mode: u32, owner: u32, expected: u32) -> Result<(), RootError> {
    let path = path.to_owned();
    if owner != expected {
        return Err(RootError::Owner { path, owner, expected });
    }
    if mode & 0o077 != 0 {
        return Err(RootError::Mode { path, mode: mode & 0o7777 });
    }
    Ok(())
}

/// Makes the file, whole and durable, unless another process made it first.
fn create(path: &Path) -> io::Result<()> {
    let mut suffix = [0; 8];
    fill(&mut suffix);
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:016x}", u64::from_be_bytes(suffix)));
    let draft = PathBuf::from(draft);
    let made = write(&draft).and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    std::fs::remove_file(&draft).or_else(|it| if made.is_err() { Ok(()) } else { Err(it) })?;
    made?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(draft: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    for byte in random_secret().iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("four bits"));
        }
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn context(name: KeyName) -> Vec<u8> {
    let (tenant, purpose, id) = name.parts();
    [tenant.as_bytes(), purpose.as_bytes(), id.as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests;
