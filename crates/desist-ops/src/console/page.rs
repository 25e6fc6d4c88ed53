//! The page, as it is served: files that were compiled in, and headers that keep it to itself.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use axum::extract::{OriginalUri, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Served;
use crate::http::{Problem, Verb};
use crate::store::Store;

/// Scripts and styles are files of this page, and nothing else is; it is in nobody's frame, and what
/// its scripts make of texts is never markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

struct File {
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(File { name: $name, bytes: include_bytes!(concat!("page/", $name)) }),*]
    };
}

const PAGE: &str = include_str!("page/index.html");
const REFUSED: &str = include_str!("page/refused.html");
const FILES: &[File] = files![
    "api.mjs",
    "base.css",
    "cancelling.mjs",
    "details.mjs",
    "dialogs.css",
    "dom.mjs",
    "events.mjs",
    "facts.mjs",
    "feed.mjs",
    "header.mjs",
    "latency.mjs",
    "link.mjs",
    "live.mjs",
    "main.mjs",
    "model.mjs",
    "past.mjs",
    "place.mjs",
    "plot.mjs",
    "process.mjs",
    "quantile.mjs",
    "questions.mjs",
    "refused.css",
    "retry.mjs",
    "row.mjs",
    "running.mjs",
    "span.mjs",
    "sse.mjs",
    "stopping.mjs",
    "text.mjs",
    "theme.js",
    "time.mjs",
    "tree.mjs",
    "treegrid.mjs",
    "uplot.css",
    "uplot.js",
    "views.css",
    "words.mjs",
];

impl File {
    fn kind(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        }
    }
}

/// What a browser has is good as long as this is the same.
fn tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let mut all = DefaultHasher::new();
        PAGE.hash(&mut all);
        FILES.iter().for_each(|file| file.bytes.hash(&mut all));
        format!("\"{:016x}\"", all.finish())
    })
}

pub(super) async fn page<S: Store>(
    State(served): State<Arc<Served<S>>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    // A router that is nested at `/admin` has its own `/` there, and nothing at `/admin/`.
    if !uri.path().ends_with('/') {
        let says = "the console is mounted where its address has no slash at its end, and would not \
                    find its own files; mount it at a path of its own, as `.at(\"/console\")`, or nest \
                    it at a path that ends with a slash";
        return refused(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, says));
    }
    let (request, _) = request.into_parts();
    match served.routes.may_without(Verb::List, &request) {
        Ok(_) => html(StatusCode::OK, PAGE.to_owned()),
        Err(problem) => refused(&problem),
    }
}

/// The page has relative addresses, and so a slash at its end.
pub(super) async fn to_the_page(OriginalUri(uri): OriginalUri) -> Response {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // A name with a colon would be taken for a scheme.
    let place = HeaderValue::try_from(format!("./{last}/{query}"));
    let place = place.unwrap_or(HeaderValue::from_static("./"));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
}

pub(super) async fn file(
    // By its name: the path that this is mounted at may have parameters, too.
    Path(named): Path<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let name = named.get("file").map(String::as_str);
    let Some(file) = FILES.iter().find(|file| Some(file.name) == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let plain = [
        (header::CONTENT_TYPE, file.kind()),
        (header::ETAG, tag()),
        // It is asked for each time, and sent when it is another one.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag())) {
        return (StatusCode::NOT_MODIFIED, plain).into_response();
    }
    (plain, file.bytes).into_response()
}

fn html(status: StatusCode, text: String) -> Response {
    let plain =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, plain, text).into_response()
}

fn refused(problem: &Problem) -> Response {
    let status = problem.status();
    let title = status.canonical_reason().unwrap_or("Refused");
    let text =
        REFUSED.replace("{title}", &escaped(title)).replace("{detail}", &escaped(problem.detail()));
    html(status, text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// For all that a console answers.
pub(super) async fn kept_to_itself(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{FILES, escaped};

    #[test]
    fn every_file_of_the_page_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/page");
        let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".html") && !name.ends_with(".LICENSE"));
        names.sort();
        let mut compiled: Vec<_> = FILES.iter().map(|file| file.name).collect();
        compiled.sort_unstable();
        assert_eq!(compiled, names);
    }

    #[test]
    fn what_is_put_into_a_page_is_text() {
        assert_eq!(escaped("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
    }
}
