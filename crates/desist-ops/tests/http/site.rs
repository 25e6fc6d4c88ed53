//! A service with operations, and who asks it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use desist_http::serve;
use desist_ops::http::{Access, Ask, Routes, Verb};
use desist_ops::{BoxError, Context, Duplicates, Kind, Operations, Sqlite};
use desist_tokio::{StopSource, sleep};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// What an operation takes.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Export {
    table: String,
    /// Until then it only runs; never, if there is none.
    steps: u64,
}

pub(crate) struct Site {
    pub(crate) operations: Operations<Sqlite>,
    pub(crate) stop: StopSource,
    /// A permit lets one operation take one step.
    pub(crate) steps: Arc<Semaphore>,
    pub(crate) serving: JoinHandle<desist_http::ServeReport>,
    address: String,
    client: Client,
}

/// `root` may do all; others see and change what they have started; `guest` sees all.
pub(crate) fn hook(ask: &Ask<'_>) -> Access {
    let user = ask.request().headers.get("x-user").and_then(|user| user.to_str().ok());
    let Some(user) = user else { return Access::Unknown };
    let is_own = ask.operation().is_none_or(|operation| operation.actor.as_deref() == Some(user));
    let may = match (user, ask.verb()) {
        ("root", _) => true,
        ("guest", verb) => !verb.changes(),
        (_, Verb::CancelTagged) => ask.tag() == Some(&format!("of:{user}")),
        (_, Verb::Start) => is_own && ask.kind() != Some("secret"),
        _ => is_own,
    };
    if may { Access::granted(user) } else { Access::Denied }
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::with(|routes| routes.authorize(hook)).await
    }

    pub(crate) async fn with(routes: impl FnOnce(Routes<Sqlite>) -> Routes<Sqlite>) -> Self {
        let steps = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&steps);
        let export = move |ctx: Context<Sqlite>, export: Export| {
            let gate = Arc::clone(&gate);
            async move {
                for step in 0..export.steps {
                    ctx.progress(step, export.steps, format!("step {step}"));
                    let permit = ctx.token().run(gate.acquire()).await?;
                    permit.map_err(BoxError::from)?.forget();
                }
                Ok::<_, BoxError>(format!("{}.csv", export.table))
            }
        };
        let secret = |ctx: Context<Sqlite>, _: ()| async move {
            sleep(Duration::from_secs(3600), ctx.token()).await.map_err(BoxError::from)
        };
        let operations = Operations::builder(Sqlite::open(":memory:").await.unwrap())
            .kind(Kind::new("export", export))
            .kind(Kind::new("search", secret).duplicates(Duplicates::Superseded))
            .kind(Kind::new("secret", secret))
            .max_input(1000)
            .open()
            .await
            .unwrap();
        let routes = routes(Routes::new(operations.clone()));
        let app: Router = Router::new().nest("/api/operations", routes.into_router());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/api/operations", listener.local_addr().unwrap());
        let stop = StopSource::new();
        let serving = tokio::spawn(serve(listener, app).until(stop.stop()).into_future());
        tokio::spawn(operations.run(&stop.stop()));
        Self { operations, stop, steps, serving, address, client: Client::new() }
    }

    /// Where they are all is without a slash in the end.
    fn place(&self, path: &str) -> String {
        let path = path
            .strip_prefix("/")
            .filter(|path| path.is_empty() || path.starts_with('?'))
            .unwrap_or(path);
        format!("{}{path}", self.address)
    }

    pub(crate) fn get(&self, user: &str, path: &str) -> RequestBuilder {
        self.client.get(self.place(path)).header("x-user", user)
    }

    /// As a program.
    pub(crate) fn post(&self, user: &str, path: &str, body: &Value) -> RequestBuilder {
        self.post_bare(path, body).header("x-user", user).header("x-desist", "1")
    }

    pub(crate) fn post_bare(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.client.post(self.place(path));
        request.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) async fn start(&self, user: &str, steps: u64) -> String {
        let body = json!({ "kind": "export", "input": { "table": "orders", "steps": steps } });
        let (status, body) = said(self.post(user, "/", &body)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn until_running(&self, id: &str) {
        let runs = self.operations.until_running(id.parse().unwrap());
        tokio::time::timeout(PATIENCE, runs).await.unwrap().unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn sent(request: RequestBuilder) -> Response {
    tokio::time::timeout(PATIENCE, request.send()).await.unwrap().unwrap()
}

/// The answer, which is JSON.
pub(crate) async fn said(request: RequestBuilder) -> (StatusCode, Value) {
    let response = sent(request).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
}

/// What is wrong, which says what to do; as RFC 9457 has it.
pub(crate) async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = sent(request).await;
    let status = response.status();
    assert!(status.is_client_error() || status.is_server_error(), "{status}");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.as_u16());
    assert!(body["title"].is_string() && body["type"] == "about:blank", "{body}");
    (status.as_u16(), body["detail"].as_str().unwrap().to_owned())
}
