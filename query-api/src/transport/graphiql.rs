//! The GraphiQL page, for development. Its assets are in the binary; `assets/graphiql` says whose.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::routing::get;

/// Only what we serve ourselves, except for styles that the editor computes as it runs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The files of the page below its path.
const ASSETS: [(&str, &str, &[u8]); 6] = [
    ("react.js", JAVASCRIPT, include_bytes!("../../assets/graphiql/react.production.min.js")),
    (
        "react-dom.js",
        JAVASCRIPT,
        include_bytes!("../../assets/graphiql/react-dom.production.min.js"),
    ),
    ("graphiql.js", JAVASCRIPT, include_bytes!("../../assets/graphiql/graphiql.min.js")),
    ("graphiql.css", CSS, include_bytes!("../../assets/graphiql/graphiql.min.css")),
    ("page.js", JAVASCRIPT, include_bytes!("graphiql/page.js")),
    ("page.css", CSS, include_bytes!("graphiql/page.css")),
];

/// The page at `/graphiql`, for the endpoint at `endpoint`.
pub(super) fn router(endpoint: &str) -> Router {
    let attribute = endpoint.replace('&', "&amp;").replace('"', "&quot;");
    let page = include_str!("graphiql/page.html").replace("{endpoint}", &attribute);
    let page = move || {
        let page = page.clone();
        async move { file("text/html; charset=utf-8", page) }
    };
    let mut router = Router::new().route("/graphiql", get(page));
    for (name, content_type, bytes) in ASSETS {
        let asset = move || async move { file(content_type, bytes) };
        router = router.route(&format!("/graphiql/{name}"), get(asset));
    }
    router
}

fn file(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
