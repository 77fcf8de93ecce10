//! From the arguments, through every Location, to all entity documents.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::location::LocationKind;
use outbound::Client;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::documents;
use super::place::{self, Place, PlaceError};
use super::placeholders;
use crate::failure::Failure;

/// The most files one import reads: 20,000.
const FILES_MAX: usize = 20_000;

/// Folders that never hold catalog files of the repository itself.
const SKIPPED_FOLDERS: [&str; 2] = ["node_modules", "target"];

/// One entity document.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it was found.
    pub origin: Origin,
    /// The location it follows.
    pub location: (LocationKind, String),
    /// The descriptor, placeholders resolved.
    pub descriptor: Value,
}

/// A file and a line of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Origin {
    /// The file, relative to its repository, or its address.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// One thing that could not be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejection {
    /// Where it is.
    #[serde(flatten)]
    pub origin: Origin,
    /// Why, with the field, the value and the fix.
    pub reason: String,
}

/// How a file came to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discovery {
    /// An argument or a Location names it: what it holds must be entities.
    Named,
    /// It lies in a folder that was named: it may be about something else.
    Listed,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// How many files were read.
    pub files: usize,
    /// The documents, in the order found.
    pub found: Vec<Found>,
    /// Documents of listed files that do not claim to be entities.
    pub skipped: Vec<Origin>,
    /// What could not be read.
    pub rejected: Vec<Rejection>,
}

/// Reads `sources` and all they lead to.
///
/// # Errors
///
/// If an argument names nothing, or more than [`FILES_MAX`] files are named.
pub(crate) async fn collect(sources: &[String], client: &Client) -> Result<Collected> {
    let mut walk = Walk::new(client);
    for source in sources {
        let (discovery, places) = expand(source)?;
        for (name, place) in places {
            match place {
                Ok(place) => walk.enqueue(place, discovery),
                Err(error) => walk.reject(name, 1, &error),
            }
        }
    }
    while let Some((place, discovery)) = walk.waiting.pop_front() {
        walk.read(&place, discovery).await?;
    }
    Ok(walk.collected)
}

struct Walk<'a> {
    client: &'a Client,
    waiting: VecDeque<(Place, Discovery)>,
    seen: BTreeSet<Place>,
    collected: Collected,
}

impl<'a> Walk<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            waiting: VecDeque::new(),
            seen: BTreeSet::new(),
            collected: Collected::default(),
        }
    }

    fn enqueue(&mut self, place: Place, discovery: Discovery) {
        if self.seen.insert(place.clone()) {
            self.waiting.push_back((place, discovery));
        }
    }

    fn reject(&mut self, file: String, line: usize, reason: &dyn std::fmt::Display) {
        let origin = Origin { file, line };
        self.collected.rejected.push(Rejection { origin, reason: reason.to_string() });
    }

    async fn read(&mut self, place: &Place, discovery: Discovery) -> Result<()> {
        self.collected.files += 1;
        if self.collected.files > FILES_MAX {
            bail!("more than {FILES_MAX} files; import them in parts");
        }
        match place.read(self.client).await {
            Ok(text) => {
                for document in documents::parse(&text) {
                    match document.content {
                        Ok(content) if discovery == Discovery::Listed && is_foreign(&content) => {
                            let origin = Origin { file: place.to_string(), line: document.line };
                            self.collected.skipped.push(origin);
                        }
                        Ok(content) => self.take(place, document.line, content).await,
                        Err(malformed) => {
                            self.reject(place.to_string(), malformed.line, &malformed.reason);
                        }
                    }
                }
            }
            Err(error) => self.reject(place.to_string(), 1, &error),
        }
        Ok(())
    }

    async fn take(&mut self, place: &Place, line: usize, content: Value) {
        match placeholders::resolve(content, place, self.client).await {
            Ok(descriptor) => {
                if descriptor.get("kind").and_then(Value::as_str) == Some("Location") {
                    self.follow(place, line, &descriptor);
                }
                let origin = Origin { file: place.to_string(), line };
                let location = place.location();
                self.collected.found.push(Found { origin, location, descriptor });
            }
            Err(error) => self.reject(place.to_string(), line, &error),
        }
    }

    /// Enqueues what a Location names. `presence: optional` forgives what is missing.
    fn follow(&mut self, place: &Place, line: usize, location: &Value) {
        let spec = &location["spec"];
        let one = spec["target"].as_str();
        let many = spec["targets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for target in one.into_iter().chain(many) {
            for found in place.targets(target) {
                match found {
                    Ok(found) => self.enqueue(found, Discovery::Named),
                    Err(_) if spec["presence"] == "optional" => {}
                    Err(error) => {
                        self.reject(place.to_string(), line, &format_args!("target: {error}"));
                    }
                }
            }
        }
    }
}

/// Whether a document does not even claim to be an entity.
fn is_foreign(content: &Value) -> bool {
    content.get("kind").is_none() && content.get("apiVersion").is_none()
}

/// A file that an argument names, by the name to report it under, and where it is.
type Candidate = (String, Result<Place, PlaceError>);

/// What one argument names: an address, a file, every catalog file of a folder, or a glob.
fn expand(source: &str) -> Result<(Discovery, Vec<Candidate>)> {
    if source.starts_with("https://") || source.starts_with("http://") {
        let url = Url::parse(source).with_context(|| format!("`{source}` is not an address"))?;
        return Ok((Discovery::Named, vec![(source.to_owned(), Ok(Place::Url(url)))]));
    }
    let path = Path::new(source);
    if path.is_dir() {
        let mut candidates = Vec::new();
        list(path, path, &mut candidates)?;
        candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
        return Ok((Discovery::Listed, candidates));
    }
    if path.exists() {
        return Ok((Discovery::Named, vec![candidate(path, parent(path))]));
    }
    let found = glob::glob(source).with_context(|| format!("`{source}` is not a pattern"))?;
    // Links that lead nowhere are neither files nor folders.
    let files = found.flatten().filter(|it| !it.is_dir());
    let candidates: Vec<_> = files.map(|it| candidate(&it, parent(&it))).collect();
    if candidates.is_empty() {
        return Err(Failure::Usage(format!("`{source}` names no file")).into());
    }
    Ok((Discovery::Named, candidates))
}

fn candidate(path: &Path, fallback_root: &Path) -> Candidate {
    (place::name(path, fallback_root), Place::file(path, fallback_root))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Every YAML file below `folder`, hidden folders and links to folders left out. What is below a
/// folder that cannot be listed stays unknown, and the folder is named.
fn list(folder: &Path, root: &Path, candidates: &mut Vec<Candidate>) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) => {
            let name = place::name(folder, root);
            candidates.push((name.clone(), Err(PlaceError::Unreadable { name, source })));
            return Ok(());
        }
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped = name.starts_with('.') || SKIPPED_FOLDERS.contains(&name.as_str());
        if entry.file_type()?.is_dir() {
            if !skipped {
                list(&entry.path(), root, candidates)?;
            }
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            candidates.push(candidate(&entry.path(), root));
        }
        if candidates.len() > FILES_MAX {
            bail!("`{}` holds more than {FILES_MAX} files; import them in parts", folder.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
