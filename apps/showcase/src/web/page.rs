//! The page: files that were compiled in, and headers that keep it to itself.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Scripts and styles are files of this page, and nothing else is; it is in nobody's frame, and
/// what its scripts make of texts is never markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("page/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "base.css",
    "card.mjs",
    "cards.css",
    "catalogue.mjs",
    "connections.mjs",
    "dom.mjs",
    "header.mjs",
    "index.html",
    "link.mjs",
    "log.css",
    "main.mjs",
    "operations.mjs",
    "request.mjs",
    "run.mjs",
    "table.mjs",
    "time.mjs",
    "words.mjs",
    "works.mjs",
    "written.mjs",
];

pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { file("index.html", &headers) }))
        .route(
            "/page/{file}",
            get(
                |Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) },
            ),
        )
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
        return (StatusCode::NOT_FOUND, "the page has no such file\n").into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("mjs") => "text/javascript; charset=utf-8",
        _ => "text/html; charset=utf-8",
    };
    let kept = [
        (header::CONTENT_TYPE, kind),
        // It is asked for each time, and sent when it is another one.
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag()) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    (kept, *text).into_response()
}

/// What a browser has is good as long as this is the same.
fn tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let mut all = DefaultHasher::new();
        FILES.hash(&mut all);
        format!("\"{:016x}\"", all.finish())
    })
}

#[test]
fn every_file_of_the_page_is_compiled_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/page");
    let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert!(FILES.iter().map(|(name, _)| *name).eq(names));
}
