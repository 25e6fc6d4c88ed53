//! Who may ask: this is a program on somebody's machine, whose browser opens other pages, too.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses what a page of another site asks for, and what comes by a name that is not that of
/// this machine while it listens on this machine alone: such a name may have been made to point
/// here.
pub(super) async fn guard(
    State(here_alone): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(here_alone, &request) {
        Some(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(here_alone: bool, request: &Request) -> Option<&'static str> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let host = header("host");
    if here_alone && !host.is_none_or(is_this_machine) {
        return Some("ask by http://localhost or http://127.0.0.1");
    }
    // Not into a frame of that page.
    let is_a_link = request.method() == Method::GET
        && header("sec-fetch-mode") == Some("navigate")
        && header("sec-fetch-dest") == Some("document");
    let is_elsewhere =
        matches!(header("sec-fetch-site"), Some("cross-site" | "same-site")) && !is_a_link;
    let origin = header("origin").map(|origin| origin.parse::<Uri>().ok());
    let is_own = |origin: Option<Uri>| origin?.authority().map(|from| Some(from.as_str()) == host);
    let is_of_another = origin.is_some_and(|origin| is_own(origin) != Some(true));
    (is_elsewhere || is_of_another).then_some("a page of another site may link here, and no more")
}

fn is_this_machine(host: &str) -> bool {
    let name = host.parse::<Uri>().ok();
    let Some(name) = name.as_ref().and_then(Uri::host) else { return false };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_this_machine() {
        for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:1", "[::1]:3000"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:3000", "192.0.2.1:3000", "", "a b"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
