//! A handler that goes on without its client, and what the layers around it hold: the
//! ones inside of the [`RequestLayer`] go on with it, those outside are gone. And what is
//! dropped was told before.
#![cfg(feature = "axum")]

mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use common::{PATIENCE, Probe, Said, Server};
use desist::Reason;
use desist_http::{Policy, RequestLayer, RequestToken};
use desist_tokio::Stop;
use http_body_util::BodyExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service, service_fn};

/// Long enough that no test comes to its end.
const COOPERATE: Policy = Policy::Cooperate { grace: Duration::from_secs(600) };

#[derive(Clone)]
struct Slow {
    probe: Probe,
    /// Whoever was told goes on until then.
    goes_on: Arc<Notify>,
}

async fn slow(State(slow): State<Slow>, token: RequestToken) {
    let handler = slow.probe.begin();
    let why = token.cancelled().await;
    slow.probe.say(Said::Told(why.reason()));
    slow.goes_on.notified().await;
    handler.finish();
}

fn slow_app() -> (Router, Arc<Notify>, mpsc::UnboundedReceiver<Said>) {
    let (probe, said) = Probe::new();
    let goes_on = Arc::new(Notify::new());
    let state = Slow { probe, goes_on: Arc::clone(&goes_on) };
    (Router::new().route("/slow", get(slow)).with_state(state), goes_on, said)
}

async fn free(room: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let free = Arc::clone(room).acquire_owned();
    tokio::time::timeout(PATIENCE, free).await.expect("it is free").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_its_client_holds_the_place_that_it_has_in_a_layer_inside() {
    let room = Arc::new(Semaphore::new(1));
    let (app, goes_on, said) = slow_app();
    let app = app.layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&room)));
    let mut server = Server::of(app, said, |serve| serve.policy(COOPERATE)).await;
    let first = server.begins("/slow").await;
    drop(first);
    server.hears(Said::Told(Reason::Disconnected)).await;
    assert_eq!(room.available_permits(), 0);
    let mut second = server.connect().await;
    second.get("/slow").await;
    server.hears_nothing().await;
    goes_on.notify_one();
    server.hears(Said::Finished).await;
    server.hears(Said::Begun).await;
    drop(second);
    server.hears(Said::Told(Reason::Disconnected)).await;
    goes_on.notify_one();
    server.hears(Said::Finished).await;
    drop(free(&room).await);
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_its_client_has_no_place_in_a_layer_outside() {
    let room = Arc::new(Semaphore::new(1));
    let (app, goes_on, said) = slow_app();
    let app = app
        .layer(RequestLayer::new(Stop::never()).policy(COOPERATE))
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&room)));
    let mut server = Server::of_axum_with(app, said).await;
    let first = server.begins("/slow").await;
    assert_eq!(room.available_permits(), 0);
    drop(first);
    server.hears(Said::Told(Reason::Disconnected)).await;
    // Its place is given to the next one, though it goes on.
    drop(free(&room).await);
    let second = server.begins("/slow").await;
    assert!(server.said.try_recv().is_err(), "it goes on");
    goes_on.notify_one();
    server.hears(Said::Finished).await;
    drop(second);
    server.hears(Said::Told(Reason::Disconnected)).await;
    goes_on.notify_one();
    server.hears(Said::Finished).await;
}

tokio::task_local! {
    static OUTSIDE: ();
    static INSIDE: ();
}

async fn outside(request: Request, next: Next) -> Response {
    OUTSIDE.scope((), next.run(request)).await
}

async fn inside(request: Request, next: Next) -> Response {
    INSIDE.scope((), next.run(request)).await
}

#[derive(Debug, PartialEq)]
struct Sees {
    outside: bool,
    inside: bool,
}

impl Sees {
    fn now() -> Self {
        Self { outside: OUTSIDE.try_get().is_ok(), inside: INSIDE.try_get().is_ok() }
    }
}

async fn looks(State(sees): State<mpsc::UnboundedSender<Sees>>, token: RequestToken) {
    sees.send(Sees::now()).unwrap();
    token.cancelled().await;
    sees.send(Sees::now()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_its_client_keeps_the_task_locals_of_layers_inside_alone() {
    let (sees, mut seen) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/looks", get(looks))
        .layer(from_fn(inside))
        .layer(RequestLayer::new(Stop::never()).policy(COOPERATE))
        .layer(from_fn(outside))
        .with_state(sees);
    let (_nobody, said) = mpsc::unbounded_channel();
    let server = Server::of_axum_with(app, said).await;
    let mut client = server.connect().await;
    client.get("/looks").await;
    let mut next = async || tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    assert_eq!(next().await, Sees { outside: true, inside: true });
    drop(client);
    assert_eq!(next().await, Sees { outside: false, inside: true });
}

/// Says, when it is dropped, why its token is cancelled, if it is.
struct Guard {
    token: RequestToken,
    says: mpsc::UnboundedSender<Option<Reason>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.says.send(self.token.reason());
    }
}

/// A service that never answers; its future has the guard from its begin.
fn guarded(
    says: mpsc::UnboundedSender<Option<Reason>>,
) -> impl Service<
    http::Request<()>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + 'static,
> {
    service_fn(move |request: http::Request<()>| {
        let token = RequestToken::of(request.extensions()).unwrap();
        let guard = Guard { token, says: says.clone() };
        async move {
            let _held = guard;
            std::future::pending().await
        }
    })
}

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn a_handler_that_is_dropped_was_told_before() {
    let layer = RequestLayer::new(Stop::never());
    let layers = [
        layer.clone().policy(Policy::Drop),
        // For these there is no room.
        layer.clone().policy(COOPERATE).max_rescued(0),
        layer.policy(Policy::Detach).max_rescued(0),
    ];
    for layer in layers {
        let (says, mut said) = mpsc::unbounded_channel();
        let mut answer = layer.layer(guarded(says)).call(http::Request::new(()));
        assert!(is_pending(Pin::new(&mut answer)));
        drop(answer);
        assert_eq!(said.try_recv(), Ok(Some(Reason::Disconnected)), "{layer:?}");
    }
    // One that has not begun.
    let (says, mut said) = mpsc::unbounded_channel();
    let layer = RequestLayer::new(Stop::never());
    drop(layer.layer(guarded(says)).call(http::Request::new(())));
    assert_eq!(said.try_recv(), Ok(Some(Reason::Disconnected)));
}

/// The same on a server that sees nothing but that.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_dropped_by_another_server_was_told_before() {
    let (says, mut said) = mpsc::unbounded_channel();
    let handler = async move |State(probe): State<Probe>, token: RequestToken| {
        let _guard = Guard { token, says };
        let _handler = probe.begin();
        std::future::pending::<()>().await;
    };
    let (probe, begins) = Probe::new();
    let app = Router::new()
        .route("/guarded", get(handler))
        .layer(RequestLayer::new(Stop::never()).policy(Policy::Drop))
        .with_state(probe);
    let mut server = Server::of_axum_with(app, begins).await;
    let client = server.begins("/guarded").await;
    drop(client);
    let seen = tokio::time::timeout(PATIENCE, said.recv()).await.expect("it is dropped");
    assert_eq!(seen, Some(Some(Reason::Disconnected)));
}

/// An answer without an end, whose stream has that for as long as it is there.
fn endless<T: Send + 'static>(held: T) -> Response {
    let chunks = std::iter::repeat_with(move || {
        let _held = &held;
        Ok::<_, Infallible>(vec![b'x'; 16_384])
    });
    Response::new(Body::from_stream(tokio_stream::iter(chunks)))
}

#[tokio::test]
async fn a_body_that_is_dropped_in_the_middle_was_told_before() {
    for is_read in [true, false] {
        let (says, mut said) = mpsc::unbounded_channel();
        let service = service_fn(move |request: http::Request<()>| {
            let token = RequestToken::of(request.extensions()).unwrap();
            let answer = endless(Guard { token, says: says.clone() });
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let mut service = RequestLayer::new(Stop::never()).layer(service);
        let mut body = service.call(http::Request::new(())).await.unwrap().into_body();
        if is_read {
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        assert!(said.try_recv().is_err(), "it lives");
        drop(body);
        assert_eq!(said.try_recv(), Ok(Some(Reason::Disconnected)));
    }
}

async fn download(State(probe): State<Probe>, token: RequestToken) -> Response {
    probe.watches(&token);
    endless(probe.begin())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_from_another_server_that_is_abandoned_in_the_middle_is_told() {
    for reset in [true, false] {
        let (probe, said) = Probe::new();
        let app = Router::new()
            .route("/download", get(download))
            .layer(RequestLayer::new(Stop::never()))
            .with_state(probe);
        let mut server = Server::of_axum_with(app, said).await;
        let mut client = server.begins("/download").await;
        client.reads("xxxxxxxx").await;
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
    }
}

/// Its handler is dropped with its client, as one that nobody has asked about.
#[tokio::test(flavor = "multi_thread")]
async fn middleware_that_peeks_takes_no_token_for_its_handler() {
    for peeks in [true, false] {
        let (app, said) = common::app();
        let look = if peeks { RequestToken::peek } else { RequestToken::of };
        let looks = move |request: Request, next: Next| async move {
            assert!(!look(request.extensions()).unwrap().is_cancelled());
            next.run(request).await
        };
        let app = app.layer(from_fn(looks));
        let mut server = Server::of(app, said, |serve| serve.policy(COOPERATE)).await;
        let client = server.begins("/waits").await;
        drop(client);
        if peeks {
            server.hears(Said::Dropped).await;
        } else {
            server.hears_nothing().await;
        }
    }
}
