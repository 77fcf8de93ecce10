//! From documents to the catalog: check each, then apply in batches through the doors.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use domain::catalog::{Descriptor, KindSet};
use domain::id::TenantId;
use domain::location::LocationKind;
use domain::operation::ENTITY_CHANGES_MAX;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::collect::{Collected, Found, Origin, Rejection};
use crate::command::client::Api;

/// The largest batch that is sent at once. In bytes of descriptors: 2 MiB, half of what the
/// server takes, since it counts more than the descriptors. A larger document is sent alone.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What became of an import.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Files that were read.
    pub files: usize,
    /// Entities that were not there and are now.
    pub created: usize,
    /// Entities about which something else is said now.
    pub updated: usize,
    /// Entities that were there as asked already.
    pub unchanged: usize,
    /// Documents in listed folders that do not claim to be entities.
    pub skipped: Vec<Origin>,
    /// What was not imported, and why.
    pub rejected: Vec<Rejection>,
    /// Whoever reads from here on sees everything that was imported.
    #[serde(skip)]
    pub position: Option<String>,
}

/// Whether an import changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It does.
    Commit,
    /// It only says what would happen.
    DryRun,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    changes: Vec<Change>,
    outcome: Option<Accepted>,
    user_errors: Vec<UserError>,
}

#[derive(Debug, Deserialize)]
struct Accepted {
    position: String,
}

#[derive(Debug, Deserialize)]
struct Change {
    effect: String,
}

#[derive(Debug, Deserialize)]
struct UserError {
    message: String,
    path: Option<String>,
}

/// Applies everything that was collected to the catalog of `tenant`.
///
/// # Errors
///
/// If the server does not answer or refuses; what it rejects is in the report.
pub(crate) async fn submit(
    api: &Api,
    tenant: TenantId,
    collected: Collected,
    effect: Effect,
    progress: &ProgressBar,
) -> Result<Report> {
    let Collected { files, found, skipped, rejected } = collected;
    let mut report = Report { files, skipped, rejected, ..Report::default() };
    let found = check(found, &mut report.rejected);
    progress.set_length(found.len() as u64);
    let mut locations = Locations::new();
    let mut waiting = found.into_iter().peekable();
    while waiting.peek().is_some() {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < ENTITY_CHANGES_MAX
            && let Some(found) =
                waiting.next_if(|it| batch.is_empty() || bytes + size(it) <= BATCH_BYTES_MAX)
        {
            bytes += size(&found);
            batch.push(found);
        }
        let count = batch.len() as u64;
        apply(api, tenant, batch, effect, &mut locations, &mut report).await?;
        progress.inc(count);
    }
    report.rejected.sort_by(|one, other| one.origin.cmp(&other.origin));
    Ok(report)
}

/// Leaves out what is no valid descriptor, what was described before, and what is nowhere a
/// location can be.
fn check(found: Vec<Found>, rejected: &mut Vec<Rejection>) -> Vec<Found> {
    let mut first: BTreeMap<String, Origin> = BTreeMap::new();
    let mut valid = Vec::with_capacity(found.len());
    for found in found {
        let parsed = Descriptor::parse(found.descriptor.clone(), KindSet::Extended);
        let reason = match parsed {
            Ok(descriptor) => {
                let reference = descriptor.reference().canonical();
                let (kind, target) = &found.location;
                match (first.get(&reference), kind.check(target)) {
                    (None, Ok(())) => {
                        first.insert(reference, found.origin.clone());
                        valid.push(found);
                        continue;
                    }
                    (Some(Origin { file, line }), _) => {
                        format!("`{reference}` is described at {file}:{line} already")
                    }
                    (None, Err(error)) => format!("the location of the file: {error}"),
                }
            }
            Err(violations) => domain::violation::summary(&violations),
        };
        rejected.push(Rejection { origin: found.origin, reason });
    }
    valid
}

/// How large the descriptor of a document is. In bytes.
fn size(found: &Found) -> usize {
    found.descriptor.to_string().len()
}

/// Applies one batch. What the server rejects is taken out, named, and the rest tried again, so
/// that one bad entity holds up no other. Where it does not say which one it rejects, the halves
/// of the batch are tried until it is alone.
async fn apply(
    api: &Api,
    tenant: TenantId,
    batch: Vec<Found>,
    effect: Effect,
    locations: &mut Locations,
    report: &mut Report,
) -> Result<()> {
    let mut batches = vec![batch];
    while let Some(found) = batches.pop() {
        let mut changes = Vec::with_capacity(found.len());
        let mut batch = Vec::with_capacity(found.len());
        for found in found {
            match location(api, tenant, &found.location, effect, locations).await? {
                Ok(location) => {
                    let put = json!({"descriptor": found.descriptor, "location": location});
                    changes.push(json!({"put": put}));
                    batch.push(found);
                }
                Err(reason) => {
                    report.rejected.push(Rejection { origin: found.origin, reason });
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        let applied = ask(api, tenant, changes, effect).await?;
        report.count(&applied.changes);
        report.position = applied.outcome.map(|it| it.position).or(report.position.take());
        if applied.user_errors.is_empty() {
            continue;
        }
        match refused(&applied.user_errors, batch.len()) {
            Some(refused) => {
                for (index, reason) in refused.into_iter().rev() {
                    let origin = batch.remove(index).origin;
                    report.rejected.push(Rejection { origin, reason });
                }
                if !batch.is_empty() {
                    batches.push(batch);
                }
            }
            None => {
                let later = batch.split_off(batch.len() / 2);
                batches.extend([later, batch]);
            }
        }
    }
    Ok(())
}

impl Report {
    fn count(&mut self, changes: &[Change]) {
        for change in changes {
            match change.effect.as_str() {
                "CREATED" => self.created += 1,
                "UPDATED" => self.updated += 1,
                _ => self.unchanged += 1,
            }
        }
    }
}

/// Which of a batch of `length` the server rejects, and why; none if it does not say which.
fn refused(errors: &[UserError], length: usize) -> Option<BTreeMap<usize, String>> {
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    for error in errors {
        let named = error.path.as_deref().and_then(index).filter(|it| *it < length);
        let index = named.or((length == 1).then_some(0))?;
        let reason = refused.entry(index).or_default();
        if !reason.is_empty() {
            reason.push_str("; ");
        }
        reason.push_str(&error.message);
    }
    Some(refused)
}

async fn ask(api: &Api, tenant: TenantId, changes: Vec<Value>, effect: Effect) -> Result<Applied> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        apply_entities: Applied,
    }
    let query = "mutation($input: ApplyEntitiesInput!, $options: CommandOptions) {
        applyEntities(input: $input, options: $options) {
            changes { effect } outcome { position } userErrors { message path }
        }
    }";
    let options = json!({"preview": effect == Effect::DryRun});
    let variables = json!({"input": {"changes": changes}, "options": options});
    let data: Data = api.graphql(tenant, query, variables).await?;
    Ok(data.apply_entities)
}

/// What became of each location: its global id, none in a dry run, or why it is refused.
type Locations = HashMap<(LocationKind, String), Result<Option<String>, String>>;

/// The global id of a location, made known first if need be.
async fn location(
    api: &Api,
    tenant: TenantId,
    location: &(LocationKind, String),
    effect: Effect,
    known: &mut Locations,
) -> Result<Result<Option<String>, String>> {
    if effect == Effect::DryRun {
        return Ok(Ok(None));
    }
    if let Some(known) = known.get(location) {
        return Ok(known.clone());
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        register_location: Registered,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Registered {
        location: Option<String>,
        user_errors: Vec<UserError>,
    }
    let query = "mutation($input: RegisterLocationInput!) {
        registerLocation(input: $input) { location userErrors { message path } }
    }";
    let (kind, target) = location;
    let input = json!({"kind": kind.name().to_uppercase(), "target": target});
    let data: Data = api.graphql(tenant, query, json!({"input": input})).await?;
    let Registered { location: id, user_errors } = data.register_location;
    let became = match user_errors.first() {
        Some(error) => Err(format!("the location `{target}` was refused: {}", error.message)),
        None => Ok(Some(id.context("the server named no location")?)),
    };
    known.insert(location.clone(), became.clone());
    Ok(became)
}

/// The index in a path like `changes[3].descriptor.metadata.name`.
fn index(path: &str) -> Option<usize> {
    let (_, rest) = path.split_once("changes[")?;
    rest.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_change_is_read_from_its_path() {
        assert_eq!(index("changes[3].descriptor.metadata.name"), Some(3));
        assert_eq!(index("input.changes[12]"), Some(12));
        assert_eq!(index("options.idempotencyKey"), None);
    }

    #[test]
    fn an_error_without_a_place_is_about_the_only_one_or_about_nobody_known() {
        let error = |path: Option<&str>| UserError {
            message: "no".to_owned(),
            path: path.map(str::to_owned),
        };
        let both =
            [error(Some("changes[1].descriptor.kind")), error(Some("changes[1].descriptor"))];
        assert_eq!(refused(&both, 3), Some(BTreeMap::from([(1, "no; no".to_owned())])));
        assert_eq!(refused(&[error(None)], 1), Some(BTreeMap::from([(0, "no".to_owned())])));
        assert_eq!(refused(&[error(None)], 2), None);
        assert_eq!(refused(&[error(Some("changes[7]"))], 2), None);
    }

    #[test]
    fn what_is_invalid_or_described_twice_is_named_and_left_out() {
        let found = |line, descriptor| Found {
            origin: Origin { file: "x.yaml".to_owned(), line },
            location: (LocationKind::File, "x.yaml".to_owned()),
            descriptor,
        };
        let group = json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": {"name": "a"},
            "spec": {"type": "team", "children": []},
        });
        let mut rejected = Vec::new();
        let found =
            vec![found(1, group.clone()), found(5, json!({"kind": "Group"})), found(9, group)];
        assert_eq!(check(found, &mut rejected).len(), 1);
        let lines: Vec<usize> = rejected.iter().map(|it| it.origin.line).collect();
        assert_eq!(lines, [5, 9]);
        assert_eq!(rejected[1].reason, "`group:default/a` is described at x.yaml:1 already");
    }
    #[test]
    fn what_lies_where_no_location_can_be_is_named_and_left_out() {
        let found = |name: &str, file: &str| Found {
            origin: Origin { file: file.to_owned(), line: 1 },
            location: (LocationKind::File, file.to_owned()),
            descriptor: json!({
                "apiVersion": "backstage.io/v1alpha1", "kind": "Group",
                "metadata": {"name": name}, "spec": {"type": "team", "children": []},
            }),
        };
        let mut rejected = Vec::new();
        let found = vec![found("a", "a:b.yaml"), found("b", "b.yaml"), found("a", "a.yaml")];
        assert_eq!(check(found, &mut rejected).len(), 2);
        assert_eq!((rejected.len(), rejected[0].origin.file.as_str()), (1, "a:b.yaml"));
        assert!(rejected[0].reason.contains("got `a:b.yaml`"), "{}", rejected[0].reason);
    }
}
