//! What is open to its own machine is open to nobody else.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::middleware::map_request;
use desist_http::serve;
use desist_ops::console::Console;
use desist_ops::http::Routes;
use desist_tokio::StopSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::desk::Desk;
use super::service::Service;
use crate::PATIENCE;

const PATHS: [&str; 3] = ["/admin/console/", "/admin/console/live", "/admin/console/api/"];

fn app(service: &Service) -> Router {
    let routes = Routes::new(service.operations.clone()).open_to_loopback("developer");
    Router::new().nest("/admin", Console::new(routes).allow_changes().at("/console"))
}

/// The status, and what is said first, of a request that is written by hand.
async fn answer(to: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    asked(to, path, "1.1", headers).await
}

async fn asked(to: SocketAddr, path: &str, version: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!("GET {path} HTTP/{version}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let reads = async {
        let mut bytes = [0; 4096];
        // What is live does not end: the first of it is enough.
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            said.extend_from_slice(&bytes[..count]);
            if count == 0 || said.windows(12).any(|some| some == b"event: hello") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reads).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    (said.split(' ').nth(1).unwrap().parse().unwrap(), said)
}

async fn is_refused(to: SocketAddr, headers: &str, advice: &str) {
    for path in PATHS {
        let (status, said) = answer(to, path, headers).await;
        assert_eq!(status, 403, "{path} {headers}: {said}");
        assert!(said.contains(advice), "{path} {headers}: {said}");
        assert!(
            said.to_ascii_lowercase().contains("content-security-policy: default-src 'none'"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn whoever_is_here_and_says_so_may_do_everything() {
    let service = Service::open().await;
    let desk = Desk::serves(app(&service), "127.0.0.1:0").await;
    for host in ["localhost", "LOCALHOST:3000", "127.0.0.1", "[::1]:80"] {
        for path in PATHS {
            let (status, said) = answer(desk.host, path, &format!("Host: {host}\r\n")).await;
            assert_eq!(status, 200, "{host}: {said}");
        }
    }
    let id = service.start("waits", "ada").await;
    let (status, cancelled) = super::desk::said(desk.cancel("", &id, &serde_json::json!({}))).await;
    assert_eq!((status, &cancelled["operation"]["cancel"]["actor"]), (200, &"developer".into()));
}

#[tokio::test]
async fn over_ipv6_it_is_the_same() {
    let service = Service::open().await;
    if TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let desk = Desk::serves(app(&service), "[::1]:0").await;
    assert_eq!(answer(desk.host, PATHS[0], "Host: [::1]\r\n").await.0, 200);
    is_refused(desk.host, "Host: evil.example\r\n", "by no other name").await;
}

#[tokio::test]
async fn a_name_that_somebody_else_could_have_is_refused() {
    let service = Service::open().await;
    let desk = Desk::serves(app(&service), "127.0.0.1:0").await;
    for headers in [
        "Host: evil.example\r\n",
        "Host: evil.example:80\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: localhost@evil.example\r\n",
        "Host: \r\n",
        // One of them is meant by whoever is asked, and nobody knows which.
        "Host: localhost\r\nHost: evil.example\r\n",
        "Host: evil.example\r\nHost: localhost\r\n",
    ] {
        is_refused(desk.host, headers, "`localhost`, `127.0.0.1` or `[::1]`").await;
    }
    // As to a proxy: the address says another name than the header.
    let absolute = format!("http://evil.example{}", PATHS[2]);
    let (status, said) = answer(desk.host, &absolute, "Host: localhost\r\n").await;
    assert_eq!((status, said.contains("by no other name")), (403, true), "{said}");
}

#[tokio::test]
async fn what_came_through_a_proxy_is_refused() {
    let service = Service::open().await;
    let desk = Desk::serves(app(&service), "127.0.0.1:0").await;
    for name in [
        "Forwarded",
        "Via",
        "X-Forwarded-For",
        "X-FORWARDED-HOST",
        "X-Forwarded-Proto",
        "X-Real-IP",
    ] {
        let headers = format!("Host: localhost\r\n{name}: 127.0.0.1\r\n");
        is_refused(desk.host, &headers, "came through a proxy").await;
    }
}

/// As nginx, where nothing is said, passes on what comes from wherever: with no header of its own, and
/// the name that it asks for.
#[tokio::test]
async fn what_speaks_as_only_proxies_do_is_refused() {
    let service = Service::open().await;
    let desk = Desk::serves(app(&service), "127.0.0.1:0").await;
    for path in PATHS {
        let (status, said) = asked(desk.host, path, "1.0", "Host: localhost\r\n").await;
        assert_eq!((status, said.contains("HTTP/1.0 is spoken by proxies")), (403, true), "{said}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_reads_nothing_and_may_lead_here() {
    let service = Service::open().await;
    let desk = Desk::serves(app(&service), "127.0.0.1:0").await;
    for mode in ["cors", "no-cors", "websocket"] {
        let headers =
            format!("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: {mode}\r\n");
        is_refused(desk.host, &headers, "not to pages of other sites").await;
    }
    let follows = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    assert_eq!(answer(desk.host, PATHS[0], follows).await.0, 200);
}

#[tokio::test]
async fn whoever_comes_from_another_machine_is_refused() {
    let service = Service::open().await;
    let far = |mut request: axum::extract::Request| async {
        let peer = SocketAddr::from(([203, 0, 113, 7], 4000));
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    let desk = Desk::serves(app(&service).layer(map_request(far)), "127.0.0.1:0").await;
    is_refused(desk.host, "Host: localhost\r\n", "set `Routes::authorize(|ask| ..)`").await;

    // And by the address that this machine has for others, where it has one.
    let desk = Desk::serves(app(&service), "0.0.0.0:0").await;
    let Some(own) = own_address() else { return };
    let to = SocketAddr::new(own, desk.host.port());
    is_refused(to, "Host: localhost\r\n", "set `Routes::authorize(|ask| ..)`").await;
    let here = SocketAddr::from(([127, 0, 0, 1], desk.host.port()));
    assert_eq!(answer(here, PATHS[0], "Host: localhost\r\n").await.0, 200);
}

/// Nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.77:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_loopback())
}

#[tokio::test]
async fn where_it_is_not_known_who_comes_it_is_refused_with_how_to_know() {
    let service = Service::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let stop = StopSource::new();
    tokio::spawn(serve(listener, app(&service)).until(stop.stop()).into_future());
    is_refused(to, "Host: localhost\r\n", "into_make_service_with_connect_info::").await;
    stop.cancel();
}
