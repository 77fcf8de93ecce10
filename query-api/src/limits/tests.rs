//! Each limit, at its border and one beyond.

use async_graphql::{
    ComplexObject, EmptyMutation, EmptySubscription, Object, Response, Schema, SimpleObject, Value,
};

use super::*;
use crate::transport::prepare;

struct Query;

#[derive(SimpleObject)]
#[graphql(complex)]
struct Node {
    name: String,
}

#[ComplexObject]
impl Node {
    async fn child(&self) -> Node {
        Node { name: format!("{}'", self.name) }
    }
}

#[Object]
impl Query {
    async fn node(&self) -> Node {
        Node { name: "root".to_owned() }
    }
    async fn greeting(&self, name: Option<String>) -> String {
        format!("hello {}", name.unwrap_or_default())
    }
    #[graphql(complexity = 500)]
    async fn costly(&self) -> i32 {
        1
    }
}

async fn execute(limits: &Limits, document: &str) -> Response {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription);
    prepare(schema, limits).finish().execute(document).await
}

/// The document passes at `value` and is refused at one less.
async fn check(limit: &str, value: usize, document: &str, set: impl Fn(&mut Limits) -> &mut usize) {
    let mut limits = Limits::development();
    *set(&mut limits) = value;
    let response = execute(&limits, document).await;
    assert_eq!(response.errors, [], "{limit} at the border");
    *set(&mut limits) = value - 1;
    let response = execute(&limits, document).await;
    assert_eq!(response.data, Value::Null);
    let [error] = &response.errors[..] else { panic!("{limit}: {:?}", response.errors) };
    let extensions = error.extensions.as_ref().unwrap();
    assert_eq!(extensions.get("code"), Some(&LIMIT_EXCEEDED.into()));
    assert_eq!(extensions.get("limit"), Some(&limit.into()));
    assert_eq!(extensions.get("value"), Some(&value.into()));
    assert_eq!(extensions.get("maximum"), Some(&(value - 1).into()));
    let told = format!("`{limit}`: it has {value}, the maximum is {}", value - 1);
    assert!(error.message.ends_with(&told), "{}", error.message);
}

#[tokio::test]
async fn each_limit_holds_at_its_border() {
    check("document_bytes", 24, "{ node { name } } # some", |it| &mut it.document_bytes_max).await;
    check("tokens", 6, "{ node { name } }", |it| &mut it.tokens_max).await;
    check("nesting", 3, "{ node { child { name } } }", |it| &mut it.nesting_max).await;
    check("depth", 3, "{ node { child { name } } }", |it| &mut it.depth_max).await;
    check(
        "selections",
        3,
        "{ node { name child { name } } }".replace("name child", "child").as_str(),
        |it| &mut it.selections_max,
    )
    .await;
    check("root_fields", 2, "{ node { name } costly }", |it| &mut it.root_fields_max).await;
    check("aliases", 2, "{ a: greeting b: greeting }", |it| &mut it.aliases_max).await;
    check("directives", 2, "{ node @skip(if: false) { name @include(if: true) } }", |it| {
        &mut it.directives_max
    })
    .await;
    check("complexity", 501, "{ costly greeting }", |it| &mut it.complexity_max).await;
}

/// What a fragment holds counts as often as it is spread.
#[tokio::test]
async fn fragments_hide_nothing() {
    let twice = "{ x: node { ...F } y: node { ...F } } fragment F on Node { a: name b: child { name @skip(if: false) } }";
    check("aliases", 6, twice, |it| &mut it.aliases_max).await;
    check("depth", 3, twice, |it| &mut it.depth_max).await;
    check("directives", 2, twice, |it| &mut it.directives_max).await;
    check("selections", 10, twice, |it| &mut it.selections_max).await;
    let at_the_root = "{ ...F ... on Query { costly } } fragment F on Query { greeting }";
    check("root_fields", 2, at_the_root, |it| &mut it.root_fields_max).await;
}

/// Thirty fragments that spread the next one twice ask for two to the thirtieth field.
#[tokio::test]
async fn fragments_that_double_each_other_are_refused_at_once() {
    let mut document = "{ node { ...F0 } }".to_owned();
    for index in 0..30 {
        let next = index + 1;
        document += &format!(" fragment F{index} on Node {{ ...F{next} ...F{next} }}");
    }
    document += " fragment F30 on Node { name }";
    let response = execute(&Limits::default(), &document).await;
    assert!(response.errors[0].message.contains("`selections`"), "{:?}", response.errors);
}

#[tokio::test]
async fn fragments_that_spread_themselves_are_refused() {
    for document in [
        "{ node { ...A } } fragment A on Node { ...A }",
        "{ node { ...A } } fragment A on Node { child { ...B } } fragment B on Node { ...A }",
        "{ node { name } } fragment A on Node { ...B } fragment B on Node { ...A }",
    ] {
        let response = execute(&Limits::default(), document).await;
        let code = response.errors[0].extensions.as_ref().and_then(|it| it.get("code"));
        assert_eq!(code, Some(&FRAGMENT_CYCLE.into()), "{document}");
    }
}

/// The parser would descend a hundred thousand times.
#[tokio::test]
async fn brackets_without_end_do_not_reach_the_parser() {
    for bracket in ["{a", "[", "("] {
        let document = format!("{{ greeting(name: {}", bracket.repeat(20_000));
        let limits = Limits { tokens_max: usize::MAX, ..Limits::default() };
        let response = execute(&limits, &document).await;
        assert!(response.errors[0].message.contains("`nesting`"), "{:?}", response.errors);
    }
}

#[tokio::test]
async fn introspection_is_a_switch() {
    let document = "{ node { name } __schema { queryType { name } } }";
    assert_eq!(execute(&Limits::development(), document).await.errors, []);
    for document in
        [document, "{ ...F } fragment F on Query { x: __type(name: \"Node\") { name } }"]
    {
        let response = execute(&Limits::default(), document).await;
        let code = response.errors[0].extensions.as_ref().and_then(|it| it.get("code"));
        assert_eq!(code, Some(&INTROSPECTION_DISABLED.into()));
    }
    assert_eq!(execute(&Limits::default(), "{ __typename }").await.errors, []);
}

#[tokio::test]
async fn suggestions_are_a_switch() {
    for document in ["{ nod { name } }", "{ greeting(nam: \"\") }"] {
        let told = &execute(&Limits::development(), document).await.errors[0].message;
        assert!(told.contains("Did you mean"), "{told}");
        let told = &execute(&Limits::default(), document).await.errors[0].message;
        assert!(!told.contains("Did you mean"), "{told}");
        assert!(told.contains("nod") || told.contains("nam"), "{told}");
    }
}

#[tokio::test]
async fn the_introspection_query_of_common_tools_passes() {
    let of_type =
        (0..9).fold("kind name".to_owned(), |inner, _| format!("kind name ofType {{ {inner} }}"));
    let document = format!(
        "query IntrospectionQuery {{ __schema {{ types {{ ...FullType }} directives {{ name args {{ ...InputValue }} }} }} }}
        fragment FullType on __Type {{ kind name fields(includeDeprecated: true) {{ name args {{ ...InputValue }} type {{ ...TypeRef }} }} }}
        fragment InputValue on __InputValue {{ name type {{ ...TypeRef }} defaultValue }}
        fragment TypeRef on __Type {{ {of_type} }}"
    );
    assert_eq!(execute(&Limits::development(), &document).await.errors, []);
}
