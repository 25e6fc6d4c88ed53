//! Who has sent a request that changes something: this site, or a program that says so.
//!
//! A page of another site can make a browser send a request with the cookies of this one. It
//! cannot add a header of its own without being asked about first, and cannot say that it is of
//! this site.

use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// The header of programs.
pub(super) const HEADER: &str = "x-desist";

pub(super) fn checked(request: &Parts) -> Result<(), Problem> {
    if request.headers.contains_key(HEADER) || is_of_this_site(request) {
        return Ok(());
    }
    let says = "this changes something, and does not come from a page of this site; a program \
                sends the header `x-desist: 1` along";
    Err(Problem::new(StatusCode::FORBIDDEN, says))
}

fn is_of_this_site(request: &Parts) -> bool {
    let said = |name: &str| text(&request.headers, name);
    if let Some(site) = said("sec-fetch-site") {
        return site == "same-origin";
    }
    // Of a browser that does not say that.
    let host = said(header::HOST.as_str());
    let host = host.or_else(|| request.uri.authority().map(|authority| authority.as_str()));
    let Some((origin, host)) = said(header::ORIGIN.as_str()).zip(host) else { return false };
    let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
