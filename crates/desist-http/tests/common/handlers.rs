//! Handlers that say what becomes of them.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{any, get};
use desist::Reason;
use desist_http::{RequestToken, Stopped};
use tokio::sync::mpsc;

use super::PATIENCE;

/// What a handler has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Begun,
    Told(Reason),
    /// It came to its end.
    Finished,
    /// It was dropped in the middle.
    Dropped,
}

#[derive(Clone)]
pub(crate) struct Probe {
    says: mpsc::UnboundedSender<Said>,
}

/// Says how a handler ended, or a stream that it is moved into.
pub(crate) struct Handler {
    probe: Probe,
    finished: bool,
}

impl Probe {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Said>) {
        let (says, said) = mpsc::unbounded_channel();
        (Self { says }, said)
    }

    pub(crate) fn say(&self, said: Said) {
        let _ = self.says.send(said);
    }

    pub(crate) fn begin(&self) -> Handler {
        self.say(Said::Begun);
        Handler { probe: self.clone(), finished: false }
    }

    /// Says why a token is cancelled, from a task that outlives the handler.
    pub(crate) fn watches(&self, token: &RequestToken) {
        let (probe, token) = (self.clone(), token.clone());
        tokio::spawn(async move {
            let why = token.cancelled().await;
            probe.say(Said::Told(why.reason()));
        });
    }
}

impl Handler {
    pub(crate) fn says(&self, said: Said) {
        self.probe.say(said);
    }

    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.probe.say(if self.finished { Said::Finished } else { Said::Dropped });
    }
}

/// Waits for its token, and for as long again as its cleanup takes.
async fn heeds(State(probe): State<Probe>, token: RequestToken) -> Result<&'static str, Stopped> {
    let handler = probe.begin();
    let why = token.cancelled().await;
    probe.say(Said::Told(why.reason()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    handler.finish();
    Err(why.into())
}

/// Holds its body, reads none of it, and waits for its token if it has one.
async fn holds(
    State(probe): State<Probe>,
    token: Option<RequestToken>,
    request: Request,
) -> Result<&'static str, Stopped> {
    let handler = probe.begin();
    let Some(token) = token else { std::future::pending().await };
    let why = token.cancelled().await;
    probe.say(Said::Told(why.reason()));
    drop(request);
    handler.finish();
    Err(why.into())
}

/// Takes no token and waits.
async fn waits(State(probe): State<Probe>) -> &'static str {
    let handler = probe.begin();
    tokio::time::sleep(PATIENCE * 3).await;
    handler.finish();
    "waited"
}

/// Has its token and never looks at it.
async fn deaf(State(probe): State<Probe>, token: RequestToken) -> &'static str {
    let handler = probe.begin();
    tokio::time::sleep(PATIENCE * 3).await;
    drop(token);
    handler.finish();
    "waited"
}

/// Reads all of the body, says how it went, and answers.
async fn reads(
    State(probe): State<Probe>,
    token: Option<RequestToken>,
    request: Request,
) -> Result<String, Stopped> {
    let handler = probe.begin();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    if let Some(cancelled) = token.and_then(|token| token.cancellation()) {
        probe.say(Said::Told(cancelled.reason()));
        handler.finish();
        return Err(cancelled.into());
    }
    handler.finish();
    Ok(format!("{} bytes", body.map_or(0, |body| body.len())))
}

/// How long it has, in seconds.
pub(crate) async fn left(token: RequestToken) -> String {
    token.remaining().map_or("for ever".into(), |left| format!("{}.", left.as_secs()))
}

/// The handlers, at paths of their names.
pub(crate) fn app() -> (Router, mpsc::UnboundedReceiver<Said>) {
    let (probe, said) = Probe::new();
    (app_of(probe), said)
}

pub(crate) fn app_of(probe: Probe) -> Router {
    Router::new()
        .route("/heeds", any(heeds))
        .route("/holds", any(holds))
        .route("/waits", any(waits))
        .route("/deaf", any(deaf))
        .route("/reads", any(reads))
        .route("/quick", get(|| async { "quick" }))
        .with_state(probe)
}
