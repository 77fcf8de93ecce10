//! From the arguments, through every Location, to all entity documents.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outbound::Client;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::documents;
use super::place::Place;
use super::placeholders;

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
    pub location: (&'static str, String),
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
        places.into_iter().for_each(|it| walk.enqueue(it, discovery));
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

    fn reject(&mut self, place: &Place, line: usize, reason: &dyn std::fmt::Display) {
        let origin = Origin { file: place.to_string(), line };
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
                            self.reject(place, malformed.line, &malformed.reason);
                        }
                    }
                }
            }
            Err(error) => self.reject(place, 1, &error),
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
            Err(error) => self.reject(place, line, &error),
        }
    }

    /// Enqueues what a Location names. `presence: optional` forgives what is missing.
    fn follow(&mut self, place: &Place, line: usize, location: &Value) {
        let spec = &location["spec"];
        let one = spec["target"].as_str();
        let many = spec["targets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for target in one.into_iter().chain(many) {
            match place.targets(target) {
                Ok(places) => {
                    places.into_iter().for_each(|it| self.enqueue(it, Discovery::Named));
                }
                Err(_) if spec["presence"] == "optional" => {}
                Err(error) => self.reject(place, line, &format_args!("target: {error}")),
            }
        }
    }
}

/// Whether a document does not even claim to be an entity.
fn is_foreign(content: &Value) -> bool {
    content.get("kind").is_none() && content.get("apiVersion").is_none()
}

/// What one argument names: an address, a file, every catalog file of a folder, or a glob.
fn expand(source: &str) -> Result<(Discovery, Vec<Place>)> {
    if source.starts_with("https://") || source.starts_with("http://") {
        let url = Url::parse(source).with_context(|| format!("`{source}` is not an address"))?;
        return Ok((Discovery::Named, vec![Place::Url(url)]));
    }
    let path = Path::new(source);
    if path.is_dir() {
        let mut files = Vec::new();
        list(path, &mut files)?;
        files.sort();
        let places = files.iter().map(|it| Place::file(it, path));
        return Ok((Discovery::Listed, places.collect::<Result<_, _>>()?));
    }
    if path.exists() {
        return Ok((Discovery::Named, vec![Place::file(path, parent(path))?]));
    }
    let found = glob::glob(source).with_context(|| format!("`{source}` is not a pattern"))?;
    let places: Vec<Place> = found
        .flatten()
        .filter(|it| it.is_file())
        .map(|it| Place::file(&it, parent(&it)))
        .collect::<Result<_, _>>()?;
    if places.is_empty() {
        bail!("`{source}` names no file");
    }
    Ok((Discovery::Named, places))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Every YAML file below `folder`, hidden folders and links to folders left out.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("could not list `{}`", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped = name.starts_with('.') || SKIPPED_FOLDERS.contains(&name.as_str());
        if entry.file_type()?.is_dir() {
            if !skipped {
                list(&entry.path(), files)?;
            }
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            files.push(entry.path());
        }
        if files.len() > FILES_MAX {
            bail!("`{}` holds more than {FILES_MAX} files; import them in parts", folder.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
