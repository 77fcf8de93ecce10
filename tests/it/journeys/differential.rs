//! Nothing but configuration differs: two processes on Kafka and PostgreSQL, asked at either door,
//! give the same answers as one process on its data folder for the same random script.
//!
//! What must differ between any two installations is put into common words first (`names`); the
//! script (`script`) is made in those words, and each side (`side`) translates.

mod names;
mod script;
mod side;

use std::collections::BTreeMap;

use serde_json::Value;

use script::{Step, Who};

/// The tenants of a script. The last one is closed on the way.
const TENANTS: [&str; 5] = ["acts", "boxes", "curtain", "drama", "encore"];

/// Where two answers differ first: a JSON pointer.
fn difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys());
            keys.filter(|it| one.get(*it) != other.get(*it)).min().map(|key| {
                let [one, other] = [one, other].map(|it| it.get(key).unwrap_or(&Value::Null));
                format!("/{key}{}", difference(one, other).unwrap_or_default())
            })
        }
        (Value::Array(one), Value::Array(other)) => {
            let place = one.iter().zip(other).position(|(one, other)| one != other);
            match place {
                Some(at) => {
                    let deeper = difference(&one[at], &other[at]).unwrap_or_default();
                    Some(format!("/{at}{deeper}"))
                }
                None => {
                    (one.len() != other.len()).then(|| format!("/{}", one.len().min(other.len())))
                }
            }
        }
        _ => (one != other).then(String::new),
    }
}

/// For whom something follows from what was asked, once for each thing.
fn consequences(step: &Step, body: &Value, tenants: &[String]) -> Vec<Who> {
    let outcome = &body["data"]["done"]["outcome"];
    if step.is_preview() || outcome["remembered"] != false {
        return Vec::new();
    }
    let named = step.names_tenant().and_then(|id| tenants.iter().position(|it| it == id));
    let mut all = Vec::new();
    for event in outcome["events"].as_array().into_iter().flatten() {
        match event["type"].as_str().unwrap_or_default() {
            "directory.tenant-suspended.v1" | "directory.tenant-reactivated.v1" => {
                all.extend(named.map(Who::Tenant));
            }
            "location.deregistered.v1" => all.push(step.who),
            // Its subscriptions end, the directory closes it, and it follows the directory.
            "tenant.closed.v1" => all.extend([step.who, Who::Operator, step.who]),
            _ => {}
        }
    }
    all
}

/// How many things have followed for each.
#[derive(Default)]
struct Followed(BTreeMap<Who, usize>);

impl Followed {
    /// Adds to them, and answers for whom.
    fn add(&mut self, whom: &[Who]) -> BTreeMap<Who, usize> {
        for who in whom {
            *self.0.entry(*who).or_default() += 1;
        }
        self.0.iter().filter(|(it, _)| whom.contains(it)).map(|(who, it)| (*who, *it)).collect()
    }
}

mod on_kafka {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::Write;

    use chrono::Utc;
    use serde_json::Value;

    use super::script::{Script, Step, Who};
    use super::side::Side;
    use super::{Followed, TENANTS, consequences, difference};
    use crate::harness::{Cluster, Ground, Installation, Profile, Server, eventually};

    /// The operators' tenant.
    const SYSTEM: &str = "ten_00000000000000000000000000000000";

    /// Reasons to refuse that a script must have met.
    const REASONS: [&str; 7] = [
        "BAD_USER_INPUT",
        "FORBIDDEN",
        "IDEMPOTENCY_KEY_REUSED",
        "QUOTA_EXCEEDED",
        "REVISION_CONFLICT",
        "TENANT_SUSPENDED",
        "UNAUTHENTICATED",
    ];

    /// Partitions of the log; the tenants are spread over them.
    const PARTITIONS: &str = "4";

    /// A side with the tenants there.
    async fn side(installation: &Installation, doors: Vec<Server>) -> Side {
        let mut tenants = Vec::new();
        for slug in TENANTS {
            let id = installation.create_tenant(slug);
            let token = installation.token(&id);
            let api = doors[0].api(&token);
            eventually("the tenant is there", async || {
                let answer = api.ask("{ tenant { name } }", &Value::Null).await.ok()?;
                let body: Value = serde_json::from_slice(&answer.body).ok()?;
                body["data"]["tenant"]["name"].is_string().then_some(())
            })
            .await;
            tenants.push((id, token));
        }
        Side::new(doors, installation.token(SYSTEM), tenants)
    }

    /// What a script has met.
    #[derive(Default)]
    struct Met {
        /// Requests by kind.
        asked: BTreeSet<String>,
        /// Mutations that changed something.
        done: BTreeSet<String>,
        /// How often each reason to refuse was met.
        refused: BTreeMap<String, usize>,
        remembered: usize,
    }

    impl Met {
        fn note(&mut self, step: &Step, body: &Value) {
            step.kind(&mut self.asked);
            let done = &body["data"]["done"];
            if done["outcome"]["events"].as_array().is_some_and(|it| !it.is_empty()) {
                step.kind(&mut self.done);
            }
            let errors = done["userErrors"].as_array().into_iter().flatten();
            let denied = body["errors"].as_array().into_iter().flatten();
            let codes =
                errors.map(|it| &it["code"]).chain(denied.map(|it| &it["extensions"]["code"]));
            for code in codes.chain([&body["code"]]).filter_map(Value::as_str) {
                *self.refused.entry(code.to_owned()).or_default() += 1;
            }
            self.remembered += usize::from(done["outcome"]["remembered"] == true);
        }
    }

    impl Met {
        fn add(&mut self, other: Self) {
            self.asked.extend(other.asked);
            self.done.extend(other.done);
            for (code, count) in other.refused {
                *self.refused.entry(code).or_default() += count;
            }
            self.remembered += other.remembered;
        }
    }

    /// Both sides of the comparison.
    struct Both {
        seed: u64,
        alone: Side,
        several: Side,
        tenants: Vec<String>,
        followed: Followed,
        met: Met,
    }

    impl Both {
        async fn start(seed: u64, alone: &Installation, cluster: &Cluster) -> Self {
            let doors = vec![alone.up().await];
            let alone = side(alone, doors).await;
            let doors = vec![cluster.first.up().await, cluster.second.up().await];
            let several = side(&cluster.first, doors).await;
            let tenants = (1..=TENANTS.len()).map(|it| format!("⟦ten#{it}⟧")).collect();
            let mut followed = Followed::default();
            // Each was created.
            let created: Vec<Who> = (0..TENANTS.len()).map(Who::Tenant).collect();
            let all = followed.add(&created);
            for side in [&alone, &several] {
                side.settle(&all).await;
            }
            Self { seed, alone, several, tenants, followed, met: Met::default() }
        }

        /// Asks both the same; the answer, if it is the same.
        async fn step(&mut self, number: usize, step: &Step) -> Value {
            let (one, other) = tokio::join!(self.alone.ask(step), self.several.ask(step));
            if let Some(place) = difference(&one, &other) {
                panic!(
                    "seed {}, step {number}: the answers differ at `{place}`\n{step:#?}\n\
                     of the one process: {one:#}\nof the two: {other:#}",
                    self.seed
                );
            }
            let body = one["body"].clone();
            self.met.note(step, &body);
            let whom = consequences(step, &body, &self.tenants);
            // What operators change is seen by tenants, whose positions say nothing of it.
            if !whom.is_empty() || step.who == Who::Operator {
                let followed: BTreeMap<Who, usize> = self.followed.add(&whom);
                tokio::join!(self.alone.settle(&followed), self.several.settle(&followed));
            }
            one
        }
    }

    /// The mutations that there are, but the one about the level of the cluster: it answers by who
    /// runs.
    fn mutations() -> BTreeSet<String> {
        let schema = include_str!("../../../schemas/api.graphql");
        let (_, rest) = schema.split_once("\ntype Mutation {").expect("there are mutations");
        let (all, _) = rest.split_once("\n}").expect("the type ends");
        let names = all.lines().filter_map(|it| it.trim().split_once('(')).map(|it| it.0);
        let names = names.filter(|it| it.chars().all(char::is_alphanumeric));
        names.filter(|it| *it != "raiseClusterLevel").map(str::to_owned).collect()
    }

    /// Asks both the same script; what was met, if there is anything to run on.
    async fn compare(seed: u64, steps: usize) -> Option<Met> {
        let cluster = Cluster::on(&Ground::given()?).await;
        let cluster = cluster.with("CALLBOARD_READS_TIME_MAX_MS", "60000");
        let alone = Installation::new()
            .with("CALLBOARD_LOG_PARTITIONS", PARTITIONS)
            .with("CALLBOARD_HTTP_VISIBILITY_WAIT_MS", "30000")
            .with("CALLBOARD_READS_TIME_MAX_MS", "60000");
        let mut both = Both::start(seed, &alone, &cluster).await;
        let day = Utc::now().date_naive().to_string();
        let mut script = Script::new(seed, &both.tenants, day);
        for number in 0..steps {
            let step = match script.begin(number) {
                Some(step) => step,
                None if number == steps * 4 / 5 => script.close_last(),
                None => script.next(),
            };
            let answer = both.step(number, &step).await;
            script.learn(&step, &answer["body"]);
        }
        both.alone.stop().await;
        both.several.stop().await;
        Some(both.met)
    }

    #[tokio::test]
    async fn two_processes_answer_a_random_script_like_one() {
        // Seeds, and steps for each.
        let (seeds, steps) = match Profile::of_this_run() {
            Profile::Fast => (1, 200),
            Profile::Ci => (1, 1_200),
            Profile::Full => (5, 1_200),
        };
        let mut met = Met::default();
        for seed in 1..=seeds {
            let Some(of_this_seed) = compare(seed, steps).await else { return };
            met.add(of_this_seed);
        }
        let Met { asked, done, refused, remembered } = met;
        let told =
            format!("{seeds} × {steps} steps: refused {refused:?}, {remembered} remembered\n");
        drop(std::io::stderr().write_all(told.as_bytes()));
        let all = mutations();
        if steps >= 1_000 {
            assert_eq!(all.difference(&asked).collect::<Vec<_>>(), [""; 0], "never asked for");
            for code in REASONS {
                assert!(refused.contains_key(code), "never refused with {code}: {refused:?}");
            }
            assert!(remembered > 0, "no key was met again");
            // Rare ones take longer to come about.
            // Nobody signs in by a mutation, so nobody is signed out.
            let undone: Vec<_> = all.difference(&done).filter(|it| **it != "signOut").collect();
            assert!(undone.len() <= if seeds > 1 { 0 } else { 4 }, "never done: {undone:?}");
        }
    }
}

mod controls {
    use serde_json::{Value, json};

    use super::difference;

    /// Every value in `value` that has no parts, by its JSON pointer.
    fn leaves(value: &Value, at: &str, all: &mut Vec<String>) {
        match value {
            Value::Array(list) => {
                list.iter()
                    .enumerate()
                    .for_each(|(index, it)| leaves(it, &format!("{at}/{index}"), all));
            }
            Value::Object(object) => {
                object.iter().for_each(|(key, it)| leaves(it, &format!("{at}/{key}"), all));
            }
            _ => all.push(at.to_owned()),
        }
    }

    #[test]
    fn a_changed_answer_is_found_wherever_it_was_changed() {
        let answer = json!({"status": 200, "body": {"data": {"entities": {
            "totalCount": 2, "edges": [{"node": {"title": null, "tags": ["rest"]}}, {"node": {}}],
        }}}});
        assert_eq!(difference(&answer, &answer), None);
        let mut all = Vec::new();
        leaves(&answer, "", &mut all);
        assert_eq!(all.len(), 4);
        for place in all {
            let mut changed = answer.clone();
            *changed.pointer_mut(&place).unwrap() = "something else".into();
            assert_eq!(difference(&answer, &changed), Some(place));
        }
        let mut shorter = answer.clone();
        shorter["body"]["data"]["entities"]["edges"].as_array_mut().unwrap().pop();
        let place = "/body/data/entities/edges/1".to_owned();
        assert_eq!(difference(&answer, &shorter), Some(place));
    }
}
