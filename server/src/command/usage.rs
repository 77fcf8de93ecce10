//! `callboard usage`.

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use domain::id::TenantId;
use outbound::Request;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Api;
use crate::cli::Usage;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};

/// How far back `usage show` looks. In days: 30.
const SHOWN: TimeDelta = TimeDelta::days(30);

/// What became of the entries of a request.
#[derive(Debug, Deserialize, Serialize)]
struct Recorded {
    sequence: u64,
    counts: Counts,
    /// What became of each entry, in the order of the request.
    results: Vec<EntryResult>,
}

#[derive(Debug, Deserialize, Serialize)]
struct EntryResult {
    id: String,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Recorded {
    /// What does not count, a line each with the reason, then how much of each kind there is.
    fn text(&self) -> String {
        let Counts { accepted, duplicate, conflict, rejected } = self.counts;
        let what = |it: &EntryResult| match (&*it.result, &it.reason) {
            ("accepted" | "duplicate", _) => None,
            ("conflict", None) => Some("something else was recorded under this id".to_owned()),
            (_, reason) => Some(reason.clone().unwrap_or_default()),
        };
        let lines = self.results.iter().filter_map(|it| Some((it, what(it)?)));
        let lines: String = lines
            .map(|(it, why)| output::plain(&format!("{}  {}: {why}", it.result, it.id)) + "\n")
            .collect();
        format!(
            "{lines}{accepted} accepted, {duplicate} duplicate, {conflict} in conflict, {rejected} rejected"
        )
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Counts {
    accepted: u64,
    duplicate: u64,
    conflict: u64,
    rejected: u64,
}

/// Records or shows usage.
///
/// # Errors
///
/// If the server does not answer or refuses, or entries were rejected.
pub(crate) async fn run(config: &Config, format: Format, command: &Usage) -> Result<()> {
    let api = Api::open(config).await?;
    match command {
        Usage::Record { file, tenant } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let body = match file.to_str() {
                Some("-") => std::io::read_to_string(std::io::stdin()),
                _ => std::fs::read_to_string(file),
            };
            let unread = |error| format!("could not read `{}`: {error}", file.display());
            let body = body.map_err(|it| Failure::Usage(unread(it)))?;
            let request = Request::post(api.url("/api/v1/usage")?, "application/json", body);
            let recorded: Recorded = api.json(tenant, request).await?;
            output::result(format, &recorded, Recorded::text)?;
            match recorded.counts.conflict + recorded.counts.rejected {
                0 => Ok(()),
                count => Err(Failure::Rejected(format!("{count} entries do not count")).into()),
            }
        }
        Usage::Show { meter, tenant } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let report: Value =
                api.json(tenant, Request::get(shown(&api, meter, Utc::now())?)).await?;
            if report["rows"] == json!([]) && !is_defined(&api, tenant, meter).await? {
                return Err(Failure::Usage(format!("there is no meter `{meter}`")).into());
            }
            output::result(format, &report, table)
        }
    }
}

/// Whether `tenant` has a meter with this key.
async fn is_defined(api: &Api, tenant: TenantId, key: &str) -> Result<bool> {
    let query = "query($after: String) { meters(first: 100, after: $after) {
        nodes { key } pageInfo { hasNextPage endCursor } } }";
    let mut after = Value::Null;
    loop {
        let answer: Value = api.graphql(tenant, query, json!({"after": after})).await?;
        let page = &answer["meters"];
        if page["nodes"].as_array().into_iter().flatten().any(|it| it["key"] == key) {
            return Ok(true);
        }
        if page["pageInfo"]["hasNextPage"] != true {
            return Ok(false);
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// The address of the last 30 days of a meter, by day.
fn shown(api: &Api, meter: &str, now: DateTime<Utc>) -> Result<url::Url> {
    let hour = now.timestamp().div_euclid(3600) + 1;
    let to = Utc.timestamp_opt(hour * 3600, 0).single().context("the clock is out of range")?;
    let day = (to - SHOWN).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    let mut url = api.url("/api/v1/usage")?;
    url.query_pairs_mut()
        .append_pair("meter", meter)
        .append_pair("step", "day")
        .append_pair("from", &day.to_rfc3339())
        .append_pair("to", &to.to_rfc3339());
    Ok(url)
}

fn table(report: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = report["rows"].as_array().into_iter().flatten();
    let buckets = rows.flat_map(|row| {
        let buckets = row["buckets"].as_array().into_iter().flatten();
        buckets.map(|it| {
            let day = text(&it["start"]).chars().take(10).collect();
            [day, text(&row["meter"]), text(&it["count"]), text(&it["sum"])]
        })
    });
    let buckets: Vec<[String; 4]> = buckets.collect();
    output::table(["day", "meter", "entries", "sum"], &buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_records_reads_why_an_entry_does_not_count() {
        let recorded: Recorded = serde_json::from_value(json!({
            "sequence": 7,
            "position": "…",
            "counts": {"accepted": 1, "duplicate": 1, "conflict": 1, "rejected": 1},
            "results": [
                {"id": "a", "result": "accepted"},
                {"id": "b", "result": "duplicate"},
                {"id": "c", "result": "conflict"},
                {"id": "d\n", "result": "rejected", "reason": "METER_UNKNOWN"},
            ],
        }))
        .unwrap();
        assert_eq!(
            recorded.text(),
            "conflict  c: something else was recorded under this id\n\
             rejected  d\\n: METER_UNKNOWN\n\
             1 accepted, 1 duplicate, 1 in conflict, 1 rejected"
        );
    }
}
