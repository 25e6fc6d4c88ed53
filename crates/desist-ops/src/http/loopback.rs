//! Whoever is on this machine may do everything.
//!
//! A browser on this machine opens pages of other sites, too. Such a page can have its own name point
//! to 127.0.0.1, and is then of the same site as what answers there; but its name is in `Host`. And
//! a proxy on this machine passes on what comes from elsewhere. Most say so in a header, or speak an
//! HTTP that no browser does any more; one that does neither, or that passes bytes on, as a tunnel,
//! cannot be told from somebody who is here.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};

use super::problem::Problem;

/// What a proxy adds.
const PROXIED: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

pub(super) fn checked(request: &Parts) -> Result<(), Problem> {
    let Some(ConnectInfo(peer)) = request.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Err(refused(
            "this is open to its own machine, and it is not known where you are; serve the app by \
             `into_make_service_with_connect_info::<SocketAddr>()`",
        ));
    };
    if !is_here(peer.ip()) {
        return Err(refused(
            "this is open to its own machine only; set `Routes::authorize(|ask| ..)` in the service \
             to let others in",
        ));
    }
    if let Some(proxied) = PROXIED.iter().find(|name| request.headers.contains_key(**name)) {
        return Err(refused(format!(
            "this is open to its own machine only, and came through a proxy (`{proxied}`); set \
             `Routes::authorize(|ask| ..)` in the service to let others in"
        )));
    }
    if request.version < Version::HTTP_11 {
        return Err(refused(
            "this is open to its own machine only, and HTTP/1.0 is spoken by proxies; set \
             `Routes::authorize(|ask| ..)` in the service to let others in, or ask by HTTP/1.1",
        ));
    }
    let said = |name: &str| request.headers.get(name).map(|value| value.as_bytes());
    if said("sec-fetch-site") == Some(b"cross-site") && said("sec-fetch-mode") != Some(b"navigate")
    {
        return Err(refused("this is open to its own machine, and not to pages of other sites"));
    }
    let mut hosts = request.headers.get_all(header::HOST).iter().map(|host| host.to_str().ok());
    let meant = request.uri.authority().map(|meant| Some(meant.as_str()));
    let mut said = hosts.by_ref().chain(meant).peekable();
    if said.peek().is_some() && said.all(|host| host.is_some_and(is_own_name)) {
        return Ok(());
    }
    Err(refused(
        "this is open to its own machine only: ask for it as `localhost`, `127.0.0.1` or `[::1]`, and \
         by no other name",
    ))
}

fn refused(says: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, says)
}

fn is_here(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// A name that nobody else can have.
fn is_own_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(is_here)
}

#[cfg(test)]
mod tests {
    use super::is_own_name;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["localhost", "LocalHost:3000", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:80"]
        {
            assert!(is_own_name(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "evil.example:80@localhost",
            "localhost@evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "::1x",
            "127.0.0.1 evil",
            "[::ffff:10.0.0.1]",
            "2130706433",
        ] {
            assert!(!is_own_name(host), "{host}");
        }
    }
}
