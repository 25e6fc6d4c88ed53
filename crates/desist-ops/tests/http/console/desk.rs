//! A service with a console, whichever database is below it.

use std::net::SocketAddr;

use axum::Router;
use desist_http::{InFlight, ServeReport, serve};
use desist_ops::console::Console;
use desist_ops::http::{Access, Ask, Routes, Verb};
use desist_ops::{Operations, Store};
use desist_tokio::StopSource;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::reader::Reader;
use crate::PATIENCE;

/// `root` may do all; `guest` sees all and changes nothing; others see and change what is theirs, and
/// neither a whole tree nor what the process does.
pub(crate) fn hook(ask: &Ask<'_>) -> Access {
    let user = ask.request().headers.get("x-user").and_then(|user| user.to_str().ok());
    let Some(user) = user else { return Access::Unknown };
    let is_own = ask.operation().is_none_or(|operation| operation.actor.as_deref() == Some(user));
    let may = match (user, ask.verb()) {
        ("root", _) => true,
        ("guest", verb) => !verb.changes(),
        (_, Verb::CancelTree | Verb::Process) => false,
        _ => is_own,
    };
    if may { Access::granted(user) } else { Access::Denied }
}

pub(crate) struct Desk {
    pub(crate) stop: StopSource,
    pub(crate) serving: JoinHandle<ServeReport>,
    pub(crate) in_flight: InFlight,
    /// With the port.
    pub(crate) host: SocketAddr,
    client: Client,
}

impl Desk {
    /// Below another path, for those of the hook.
    pub(crate) async fn open<S: Store>(operations: &Operations<S>) -> Self {
        Self::with(operations, |routes| Console::new(routes.authorize(hook)).allow_changes()).await
    }

    pub(crate) async fn with<S: Store>(
        operations: &Operations<S>,
        console: impl FnOnce(Routes<S>) -> Console<S>,
    ) -> Self {
        let console = console(Routes::new(operations.clone())).at("/console");
        Self::serves(Router::new().nest("/admin", console), "127.0.0.1:0").await
    }

    pub(crate) async fn serves(app: Router, at: &str) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let host = listener.local_addr().unwrap();
        let stop = StopSource::new();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let in_flight = InFlight::new();
        let server = serve(listener, app).until(stop.stop()).in_flight(&in_flight);
        let serving = tokio::spawn(server.into_future());
        let client = Client::builder().redirect(reqwest::redirect::Policy::none());
        Self { stop, serving, in_flight, host, client: client.build().unwrap() }
    }

    /// Anywhere, as nobody.
    pub(crate) fn at(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.host))
    }

    pub(crate) fn get(&self, user: &str, path: &str) -> RequestBuilder {
        self.at(&format!("/admin/console{path}")).header("x-user", user)
    }

    pub(crate) fn live(&self, user: &str) -> RequestBuilder {
        self.get(user, "/live")
    }

    pub(crate) async fn reader(&self, user: &str) -> Reader {
        Reader::whole(self.live(user)).await
    }

    /// As the page does.
    pub(crate) fn cancel(&self, user: &str, id: &str, body: &Value) -> RequestBuilder {
        let place = format!("http://{}/admin/console/api/{id}/cancel", self.host);
        let request = self.client.post(place).header("x-user", user).header("x-desist", "1");
        request.header("content-type", "application/json").body(body.to_string())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn sent(request: RequestBuilder) -> Response {
    tokio::time::timeout(PATIENCE, request.send()).await.unwrap().unwrap()
}

/// The answer, which is JSON.
pub(crate) async fn said(request: RequestBuilder) -> (u16, Value) {
    let response = sent(request).await;
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
}

/// What is wrong, for people.
pub(crate) async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = sent(request).await;
    let status = response.status().as_u16();
    assert!(status >= 400, "{status}");
    kept_to_itself(&response);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string(), "{body}");
    (status, body["detail"].as_str().unwrap().to_owned())
}

/// What all that a console answers has.
pub(crate) fn kept_to_itself(response: &Response) {
    let said = |name: &str| {
        let all: Vec<_> = response.headers().get_all(name).iter().collect();
        assert_eq!(all.len(), 1, "{name}: {:?} {}", all, response.url());
        all[0].to_str().unwrap().to_owned()
    };
    let policy = said("content-security-policy");
    let parts: Vec<_> = policy.split(';').map(str::trim).collect();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(parts.contains(&part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe-") && !policy.contains('*'), "{policy}");
    assert_eq!(said("x-content-type-options"), "nosniff");
    assert_eq!(said("referrer-policy"), "no-referrer");
    assert_eq!(said("cross-origin-opener-policy"), "same-origin");
    assert_eq!(said("cross-origin-resource-policy"), "same-origin");
}
