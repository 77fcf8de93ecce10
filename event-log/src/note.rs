//! Signed notes: text with the signatures of those who stand for it (C2SP `signed-note`).
//!
//! Ed25519 alone. Who signs is a function, so that private keys stay where they are kept. What the text
//! means is for its reader: [`crate::checkpoint`] and [`crate::export`].

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::identity::hex;

#[cfg(test)]
pub(crate) mod tests;

/// The largest note that is read. In bytes: 64 KiB, so that many may sign it.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The most signatures of a note that are looked at: 100, six times what every reader must accept.
const SIGNATURES_MAX: usize = 100;

/// What a signature line begins with: a dash and a space.
const DASH: &str = "\u{2014} ";

/// The type of an Ed25519 key in a verifier key and in what its id is made of.
const TYPE_ED25519: u8 = 1;

/// Why there is no note, or nobody stands for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not a signed note.
    #[error("expected a signed note: {0}")]
    Malformed(&'static str),
    /// None of the keys that are trusted has signed it.
    #[error("no key that was given has signed it")]
    Unsigned,
    /// A key that is trusted has signed something else.
    #[error("the signature of `{0}` is not of this text")]
    Forged(String),
}

/// Why a text is not a verifier key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a verifier key like `name+01234567+AQ…`, of Ed25519, got `{0}`")]
pub struct VerifierKeyError(String);

/// What verifies the notes of one signer: a name and a public key, and an id of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of who goes by `name`; none if nobody can be called so.
    #[must_use]
    pub fn new(name: &str, public: [u8; 32]) -> Option<Self> {
        let is_name = !name.is_empty()
            && !name.contains(|it: char| it.is_whitespace() || it.is_control() || it == '+');
        let parts = [name.as_bytes(), b"\n", &[TYPE_ED25519], &public].concat();
        let hash = digest(&SHA256, &parts);
        let id = *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        is_name.then(|| Self { name: name.to_owned(), id, public })
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the keys of that name it is, in hex.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    fn is_of(&self, signature: &Signature<'_>) -> bool {
        signature.name == self.name && signature.id == self.id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[TYPE_ED25519][..], &self.public].concat());
        write!(f, "{}+{}+{key}", self.name, self.id())
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let parsed = || {
            let (name, rest) = text.split_once('+')?;
            let (_, key) = rest.split_once('+')?;
            let bytes = STANDARD.decode(key).ok()?;
            let public = bytes.strip_prefix(&[TYPE_ED25519])?.try_into().ok()?;
            Self::new(name, public).filter(|it| it.to_string() == text)
        };
        parsed().ok_or_else(|| VerifierKeyError(text.chars().take(128).collect()))
    }
}

/// Makes the signature of a text.
type Sign = dyn Fn(&[u8]) -> [u8; 64] + Send + Sync;

/// Who signs notes.
pub struct Signer {
    key: VerifierKey,
    sign: Box<Sign>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Signer {
    /// The one whose signatures `key` verifies and `sign` makes.
    pub fn new(key: VerifierKey, sign: impl Fn(&[u8]) -> [u8; 64] + Send + Sync + 'static) -> Self {
        Self { key, sign: Box::new(sign) }
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The note that says `text`, which ends with a line break, signed.
    #[must_use]
    pub fn note(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'), "a note's text consists of lines");
        let signature = (self.sign)(text.as_bytes());
        let signature = STANDARD.encode([&self.key.id[..], &signature].concat());
        format!("{text}\n{DASH}{} {signature}\n", self.key.name)
    }
}

/// A note that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<Signature<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature<'a> {
    name: &'a str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Reads a note. Nobody stands for its text before [`Note::verify`] has said so.
    ///
    /// # Errors
    ///
    /// [`NoteError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        if note.bytes().any(|it| it < b' ' && it != b'\n') {
            return Err(malformed("it has control characters"));
        }
        let blank = note.rfind("\n\n").ok_or(malformed("it has no blank line"))?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(malformed("its last line does not end"))?;
        let signatures = lines.split('\n').take(SIGNATURES_MAX + 1).map(signature);
        let signatures = signatures.collect::<Option<Vec<_>>>();
        let signatures = signatures.ok_or(malformed("a line below its text is no signature"))?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(malformed("it has too many signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether one of `keys` stands for it. Signatures of others mean nothing.
    ///
    /// # Errors
    ///
    /// [`NoteError::Forged`] or [`NoteError::Unsigned`].
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<(), NoteError> {
        let mut outcome = Err(NoteError::Unsigned);
        for signature in &self.signatures {
            for key in keys.iter().filter(|it| it.is_of(signature)) {
                UnparsedPublicKey::new(&ED25519, &key.public)
                    .verify(self.text.as_bytes(), &signature.bytes)
                    .map_err(|_| NoteError::Forged(key.name.clone()))?;
                outcome = Ok(());
            }
        }
        outcome
    }
}

fn signature(line: &str) -> Option<Signature<'_>> {
    let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, bytes) = bytes.split_first_chunk()?;
    Some(Signature { name, id: *id, bytes: bytes.to_vec() }).filter(|it| !it.name.is_empty())
}
