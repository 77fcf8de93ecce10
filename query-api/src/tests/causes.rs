//! What a command has caused: told across reactions, of one's own tenant alone.

use projections::temporary::Kind;
use serde_json::{Value, json};

use super::roles::member;
use super::seeded::{apply, component, put, seed};
use crate::testing::{Member, Site, on_each_kind, soon};

const TREE: &str = "query($command: String!) { causalTree(commandId: $command) {
    isCut caused { step event { eventId type commandId causationId sequence } }
} }";

on_each_kind! {
    what_followed_from_a_command_is_told_by_step
}

async fn tree(site: &Site, who: &Member, command: &Value) -> Value {
    site.data(who, TREE, json!({ "command": command })).await["causalTree"].take()
}

/// Has the tenant of `who` forget a location, with all that follows it: by which command.
async fn forget(site: &Site, who: &Member, location: &str) -> Value {
    let forget = "mutation($location: ID!) { deregisterLocation(location: $location) {
        userErrors { code } outcome { commandId }
    } }";
    let forgotten = site.mutate(who, forget, json!({ "location": location })).await;
    forgotten["outcome"]["commandId"].clone()
}

async fn what_followed_from_a_command_is_told_by_step(on: Kind) {
    let site = Site::start_on(on).await;
    let seeded = seed(&site, &site.a, "amber").await;
    let more = component("amber-more", "amber");
    apply(&site, &site.a, json!([put(&more, Some(&seeded.location))])).await;
    let command = forget(&site, &site.a, &seeded.location).await;
    let whole = async {
        loop {
            let tree = tree(&site, &site.a, &command).await;
            if tree["caused"].as_array().unwrap().len() == 4 {
                return tree;
            }
            tokio::task::yield_now().await;
        }
    };
    let found = soon(whole).await;
    assert_eq!(found["isCut"], false);
    let caused = found["caused"].as_array().unwrap();
    let of = |it: &Value| {
        (it["step"].as_u64().unwrap(), it["event"]["type"].as_str().unwrap().to_owned())
    };
    let mut steps: Vec<_> = caused.iter().map(of).collect();
    steps.sort();
    let step = |step, name: &str| (step, name.to_owned());
    assert_eq!(
        steps,
        [
            step(0, "location.deregistered.v1"),
            step(1, "entity.deregistered.v1"),
            step(1, "entity.deregistered.v1"),
            step(1, "reaction.advanced.v1"),
        ]
    );
    let [first, later @ ..] = &caused[..] else { unreachable!() };
    assert_eq!(first["event"]["commandId"], command);
    for it in later {
        assert_eq!(it["event"]["causationId"], first["event"]["eventId"], "{it}");
        assert_ne!(it["event"]["commandId"], command);
    }

    // The same as a list.
    let document = "query($cause: String!) { audit(matching: {causationId: $cause}) {
        nodes { causationId }
    } }";
    let cause = &first["event"]["eventId"];
    let list = site.data(&site.a, document, json!({ "cause": cause })).await;
    assert_eq!(list["audit"]["nodes"].as_array().unwrap().len(), 3);

    // Nobody else is told of it, nor who may not read the trail.
    let nothing = json!({ "isCut": false, "caused": [] });
    assert_eq!(tree(&site, &site.b, &command).await, nothing);
    assert_eq!(tree(&site, &site.operator, &command).await, nothing);
    let list = site.data(&site.b, document, json!({ "cause": cause })).await;
    assert_eq!(list["audit"]["nodes"], json!([]));
    let (_, viewer) = member(&site, &["viewer"]).await;
    let denied = site.graphql(&viewer, TREE, json!({ "command": command })).await;
    assert_eq!(denied["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn what_is_no_command_is_named() {
    let site = Site::start().await;
    let unknown = json!("cmd_00000000000070008000000000000001");
    assert_eq!(tree(&site, &site.a, &unknown).await, json!({ "isCut": false, "caused": [] }));
    let wrong = site.graphql(&site.a, TREE, json!({ "command": "evt_1" })).await;
    assert_eq!(wrong["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}
