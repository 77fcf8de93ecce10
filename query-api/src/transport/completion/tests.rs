//! Results with failures in every place.

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Enum, Interface, Object, Result, Schema,
    SimpleObject, Subscription,
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value as Json, json};

use super::*;
use crate::limits::Limits;
use crate::transport::prepare;

struct Query;

/// Every way in which one thing can hold others.
struct Node;

async fn later<T>(value: T) -> T {
    tokio::task::yield_now().await;
    value
}

#[Object]
impl Node {
    async fn slow(&self) -> i32 {
        later(later(1).await).await
    }
    async fn quick(&self) -> i32 {
        2
    }
    async fn may_fail(&self) -> Result<Option<i32>> {
        Err("it fails".into())
    }
    async fn must_not_fail(&self) -> Result<i32> {
        later(Err("it fails".into())).await
    }
    async fn node(&self) -> Node {
        later(Node).await
    }
    async fn maybe_node(&self) -> Option<Node> {
        Some(Node)
    }
    async fn nodes(&self) -> Vec<Node> {
        vec![Node, Node]
    }
    async fn maybe_nodes(&self) -> Vec<Option<Node>> {
        vec![Some(Node), None]
    }
    async fn numbers(&self) -> Vec<Option<Result<i32>>> {
        vec![Some(Ok(1)), Some(Err("it fails".into())), None]
    }
    async fn rows(&self) -> Vec<Option<Vec<Result<i32>>>> {
        vec![Some(vec![Ok(1)]), Some(vec![Ok(2), Err("it fails".into())])]
    }
    async fn shape(&self) -> Shape {
        Shape::Circle(Circle { radius: 1, colour: Colour::Red })
    }
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Red,
}

#[derive(SimpleObject)]
struct Circle {
    radius: i32,
    colour: Colour,
}

#[derive(Interface)]
#[graphql(field(name = "radius", ty = "&i32"))]
enum Shape {
    Circle(Circle),
}

#[Object]
impl Query {
    async fn node(&self) -> Node {
        Node
    }
    async fn maybe_node(&self) -> Option<Node> {
        Some(Node)
    }
}

struct Events;

#[Subscription]
impl Events {
    async fn numbers(&self, _context: &Context<'_>) -> impl Stream<Item = Result<i32>> + use<> {
        stream::iter([Ok(1), Err("it fails".into()), Ok(3)])
    }
}

/// What a document is answered with, as text: the order counts.
async fn execute(document: &str) -> (String, usize) {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription);
    let response = prepare(schema, &Limits::development()).finish().execute(document).await;
    (serde_json::to_string(&response.data).unwrap(), response.errors.len())
}

async fn check(document: &str, data: &str, errors: usize) {
    assert_eq!(execute(document).await, (data.to_owned(), errors), "{document}");
}

#[tokio::test]
async fn a_failed_field_is_null_where_it_may_be() {
    check("{ node { mayFail quick } }", r#"{"node":{"mayFail":null,"quick":2}}"#, 1).await;
    check("{ node { mayFail } }", r#"{"node":{"mayFail":null}}"#, 1).await;
    check("{ node { numbers } }", r#"{"node":{"numbers":[1,null,null]}}"#, 1).await;
    check("{ node { rows } }", r#"{"node":{"rows":[[1],null]}}"#, 1).await;
}

#[tokio::test]
async fn where_it_may_not_be_what_holds_it_is() {
    check("{ maybeNode { quick mustNotFail } }", r#"{"maybeNode":null}"#, 1).await;
    check("{ maybeNode { node { node { mustNotFail } } } }", r#"{"maybeNode":null}"#, 1).await;
    check(
        "{ maybeNode { quick maybeNode { nodes { mustNotFail } } } }",
        r#"{"maybeNode":{"quick":2,"maybeNode":null}}"#,
        2,
    )
    .await;
    check("{ node { maybeNodes { mustNotFail } } }", r#"{"node":{"maybeNodes":[null,null]}}"#, 1)
        .await;
}

#[tokio::test]
async fn up_to_all_of_the_data() {
    check("{ maybeNode { quick } node { nodes { mustNotFail } } }", "null", 2).await;
}

#[tokio::test]
async fn fields_come_in_the_order_they_are_asked_for() {
    check(
        "{ node { slow b: quick a: slow quick } }",
        r#"{"node":{"slow":1,"b":2,"a":1,"quick":2}}"#,
        0,
    )
    .await;
    // By the first time each is asked for, through fragments too.
    check(
        "query Q { node { ...F quick nodes { quick } } }
        fragment F on Node { slow ... on Node { nodes { slow } } }",
        r#"{"node":{"slow":1,"nodes":[{"slow":1,"quick":2},{"slow":1,"quick":2}],"quick":2}}"#,
        0,
    )
    .await;
    check(
        "{ node { shape { ... on Circle { colour } radius __typename } } }",
        r#"{"node":{"shape":{"colour":"RED","radius":1,"__typename":"Circle"}}}"#,
        0,
    )
    .await;
}

/// The control of all of the above: what the library answers by itself.
#[tokio::test]
async fn without_completion_none_of_it_holds() {
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let data =
        async |document: &str| serde_json::to_string(&schema.execute(document).await.data).unwrap();
    assert_eq!(data("{ node { mayFail quick } }").await, r#"{"node":{"quick":2}}"#);
    assert_eq!(data("{ maybeNode { quick mustNotFail } }").await, r#"{"maybeNode":{"quick":2}}"#);
    assert_eq!(data("{ node { slow quick } }").await, r#"{"node":{"quick":2,"slow":1}}"#);
}

#[tokio::test]
async fn each_event_of_a_subscription_is_completed_on_its_own() {
    let schema = Schema::build(Query, EmptyMutation, Events);
    let schema = prepare(schema, &Limits::development()).finish();
    let responses: Vec<Response> =
        schema.execute_stream("subscription { numbers }").collect().await;
    let found: Vec<(Json, usize)> =
        responses.into_iter().map(|it| (it.data.into_json().unwrap(), it.errors.len())).collect();
    let expected = [(json!({ "numbers": 1 }), 0), (json!(null), 1), (json!({ "numbers": 3 }), 0)];
    assert_eq!(found, expected);
}
