//! Meters, and usage at both doors.

use serde_json::{Value, json};

use super::billing::METERS;
use super::{Ask, Script};

pub(super) fn define_meter(script: &mut Script, _: usize) -> Ask {
    let key = if script.one_in(8) { "Not a key" } else { script.pick_of(&METERS) };
    let aggregation = match key {
        "calls" => "COUNT",
        "rides" => "SUM",
        "peak" => "MAX",
        _ => "UNIQUE_COUNT",
    };
    let mut input =
        json!({"key": key, "name": "Meter", "unit": "piece", "aggregation": aggregation});
    if aggregation == "UNIQUE_COUNT" && !script.one_in(6) {
        input["dimension"] = "person".into();
    }
    if script.one_in(5) {
        input["name"] = format!("Meter {}", script.below(3)).into();
    }
    let call = "defineMeter(input: $input, options: $options)";
    script.mutation(call, "", "$input: DefineMeterInput!", json!({"input": input}))
}

pub(super) fn archive_meter(script: &mut Script, _: usize) -> Ask {
    let key = script.pick_of(&["calls", "peak", "people", "unknown"]);
    let call = "archiveMeter(key: $key, options: $options)";
    script.mutation(call, "", "$key: String!", json!({"key": key}))
}

/// A record: source, id, meter, who, when, value and dimensions.
struct Entry {
    id: String,
    meter: &'static str,
    customer: Option<String>,
    at: Option<String>,
    value: String,
    dimensions: Vec<(&'static str, String)>,
}

fn entry(script: &mut Script, tenant: usize) -> Entry {
    let meter = if script.one_in(15) { "unknown" } else { script.pick_of(&METERS) };
    // What counts towards a quota is used now, the rest long ago, where it is read back.
    let now = meter == "rides" && script.one_in(2);
    let at = (!now).then(|| {
        let (day, hour) = (1 + script.below(5), script.below(24));
        let year = if script.one_in(60) { 2199 } else { 2021 };
        format!("{year}-03-0{day}T{hour:02}:15:00Z")
    });
    let mut dimensions = Vec::new();
    if script.one_in(2) {
        dimensions.push(("entity", format!("Component:default/{}", script.pick(&["web", "a"]))));
    }
    if script.one_in(2) {
        dimensions.push(("person", format!("p{}", script.below(5))));
    }
    // Few enough to come again, with the same content or another.
    let id = if script.one_in(6) {
        script.below(30).to_string()
    } else {
        format!("n{}", script.fresh())
    };
    Entry {
        id,
        meter,
        customer: script.one_in(2).then(|| script.id(tenant, "cus")),
        at,
        value: value(script),
        dimensions,
    }
}

fn value(script: &mut Script) -> String {
    let values = if script.one_in(12) { ["-4", "x", ""] } else { ["1", "2.5", "0.000001"] };
    script.pick_of(&values).to_owned()
}

fn entries(script: &mut Script, tenant: usize) -> Vec<Entry> {
    let count = if script.one_in(3) { 2 + script.below(6) } else { 1 };
    (0..count).map(|_| entry(script, tenant)).collect()
}

pub(super) fn record_usage(script: &mut Script, tenant: usize) -> Ask {
    let entries = entries(script, tenant).into_iter().map(|it| {
        let dimensions =
            it.dimensions.iter().map(|(key, value)| json!({"key": key, "value": value}));
        json!({
            "source": "desk", "id": it.id, "meter": it.meter, "customer": it.customer, "at": it.at,
            "value": it.value, "dimensions": dimensions.collect::<Vec<_>>(),
        })
    });
    let variables = json!({"entries": entries.collect::<Vec<_>>()});
    let call = "recordUsage(entries: $entries, options: $options)";
    script.mutation(call, "verdicts", "$entries: [UsageEntryInput!]!", variables)
}

fn plain(entry: &Entry) -> Value {
    let dimensions = entry.dimensions.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
    json!({
        "source": "desk", "id": entry.id, "meter": entry.meter, "customer": entry.customer,
        "at": entry.at, "value": entry.value,
        "dimensions": dimensions.collect::<serde_json::Map<_, _>>(),
    })
}

fn cloud_event(entry: &Entry) -> Value {
    let dimensions = entry.dimensions.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
    json!({
        "specversion": "1.0", "source": "desk", "id": entry.id, "type": entry.meter,
        "subject": entry.customer, "time": entry.at,
        "data": {
            "value": entry.value,
            "dimensions": dimensions.collect::<serde_json::Map<_, _>>(),
        },
    })
}

pub(super) fn record_at_machines_door(script: &mut Script, tenant: usize) -> Ask {
    let entries = entries(script, tenant);
    let (media, body) = match script.below(8) {
        0 => ("application/json", plain(&entries[0]).to_string()),
        1 => ("application/cloudevents+json", cloud_event(&entries[0]).to_string()),
        2 | 3 => {
            let all: Vec<Value> = entries.iter().map(cloud_event).collect();
            ("application/cloudevents-batch+json", Value::from(all).to_string())
        }
        4 if script.one_in(3) => ("text/plain", "1 ride".to_owned()),
        4 if script.one_in(2) => ("application/json", "[{\"source\": 1".to_owned()),
        _ => {
            let all: Vec<Value> = entries.iter().map(plain).collect();
            ("application/json", Value::from(all).to_string())
        }
    };
    let key = script.one_in(5).then(|| format!("usage-{}", script.below(40)));
    Ask::Record { media, key, body }
}
