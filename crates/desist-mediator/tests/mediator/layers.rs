//! Layers of tower, around handlers.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_mediator::{Answer, BoxError, Call, Error, Mediator, Request, Rest};
use tokio::sync::Notify;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::{LoadShedLayer, error::Overloaded};
use tower::timeout::{TimeoutLayer, error::Elapsed};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, layer::layer_fn};

use crate::{Log, at_once, poll, soon};

struct Wait;
impl Request for Wait {
    type Response = ();
    fn name() -> &'static str {
        "wait"
    }
}

struct Quick;
impl Request for Quick {
    type Response = u8;
}

/// `Wait` waits until it is let go, `Quick` does not.
fn handlers(builder: desist_mediator::MediatorBuilder) -> (Mediator, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let let_go = Arc::clone(&go);
    let mediator = builder
        .handler(move |stop: Token, _: Wait| {
            let go = Arc::clone(&go);
            async move { stop.run(go.notified()).await }
        })
        .handler(|_: Token, _: Quick| async { Ok::<_, Error>(1) })
        .build()
        .unwrap();
    (mediator, let_go)
}

#[test]
fn a_limit_is_one_for_all_kinds() {
    let (mediator, go) = handlers(Mediator::builder().layer(ConcurrencyLimitLayer::new(1)));
    let never = Token::never();
    let mut first = pin!(mediator.send(&never, Wait));
    let mut second = pin!(mediator.send(&never, Quick));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending(), "the one place is taken by another kind");
    go.notify_one();
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(()))));
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(1))));
}

#[test]
fn a_limit_of_one_kind_is_not_that_of_another() {
    let builder = Mediator::builder()
        .layer_for::<Wait>(ConcurrencyLimitLayer::new(1))
        .layer_for::<Quick>(ConcurrencyLimitLayer::new(1));
    let (mediator, _go) = handlers(builder);
    let never = Token::never();
    let (mut first, mut second) =
        (pin!(mediator.send(&never, Wait)), pin!(mediator.send(&never, Wait)));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert_eq!(at_once(mediator.send(&never, Quick)).unwrap(), 1);
}

#[tokio::test]
async fn who_is_cancelled_waits_for_no_place() {
    let log = Log::default();
    let builder = Mediator::builder()
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(layer_fn(|inner| Counts(inner, log.clone())));
    let (mediator, go) = handlers(builder);
    let (never, source) = (Token::never(), Source::new());
    let mut first = Box::pin(mediator.send(&never, Wait));
    assert!(poll(&mut first.as_mut()).is_pending());
    let waits = tokio::spawn(mediator.send(&source.token(), Quick));
    // It waits for its place by then: the queue of the limit is what it is polled up to.
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    source.cancel_with(Reason::Disconnected);
    let error = soon(waits).await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
    assert_eq!(log.said(), ["called"], "the first alone has gone through");
    // Its place in the queue is nobody's.
    go.notify_one();
    soon(first).await.unwrap();
    assert_eq!(soon(mediator.send(&never, Quick)).await.unwrap(), 1);
    assert_eq!(log.said().len(), 2);
}

/// A layer may have a queue of its own, as tower's `Buffer` has.
#[tokio::test(start_paused = true)]
async fn who_is_cancelled_in_the_queue_of_a_layer_waits_no_longer() {
    let one_a_minute = ServiceBuilder::new().buffer(16).rate_limit(1, Duration::from_secs(60));
    let (mediator, _go) = handlers(Mediator::builder().layer(one_a_minute));
    let (never, source) = (Token::never(), Source::new());
    assert_eq!(soon(mediator.send(&never, Quick)).await.unwrap(), 1);
    let begun = tokio::time::Instant::now();
    let waits = tokio::spawn(mediator.send(&source.token(), Quick));
    tokio::task::yield_now().await;
    source.cancel_with(Reason::Disconnected);
    let error = waits.await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // What has come through is waited for, as everywhere.
    let heeds = Source::new();
    let sent = tokio::spawn(mediator.send(&heeds.token(), Wait));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(!sent.is_finished(), "it has its place, and waits in its handler");
    heeds.cancel_with(Reason::Superseded);
    assert_eq!(sent.await.unwrap().unwrap_err().cancelled().unwrap().reason(), Reason::Superseded);
}

/// Says when it is called.
#[derive(Clone)]
struct Counts(Rest, Log);
impl Service<Call> for Counts {
    type Response = Answer;
    type Error = Error;
    type Future = desist_mediator::Proceed;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.1.say("called");
        self.0.call(call)
    }
}

#[test]
fn who_is_dropped_while_it_waits_gives_its_place_up() {
    let (mediator, go) = handlers(Mediator::builder().layer(ConcurrencyLimitLayer::new(1)));
    let never = Token::never();
    let mut first = pin!(mediator.send(&never, Wait));
    assert!(poll(&mut first).is_pending());
    {
        let mut second = pin!(mediator.send(&never, Wait));
        assert!(poll(&mut second).is_pending());
    }
    go.notify_one();
    assert!(poll(&mut first).is_ready());
    assert_eq!(at_once(mediator.send(&never, Quick)).unwrap(), 1);
}

#[test]
fn what_a_layer_refuses_with_is_there() {
    let layer =
        ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
    let (mediator, _go) = handlers(Mediator::builder().layer(layer.into_inner()));
    let never = Token::never();
    let mut first = pin!(mediator.send(&never, Wait));
    assert!(poll(&mut first).is_pending());
    let error = at_once(mediator.send(&never, Wait)).unwrap_err();
    assert!(error.failure().unwrap().is::<Overloaded>(), "{error:?}");
    assert_eq!((error.request(), error.to_string().as_str()), ("wait", "`wait` failed"));
    assert!(error.cancelled().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_tower_drops_what_takes_longer() {
    let (mediator, _go) =
        handlers(Mediator::builder().layer(TimeoutLayer::new(Duration::from_secs(9))));
    let error = soon(mediator.send(&Token::never(), Wait)).await.unwrap_err();
    assert!(error.failure().unwrap().is::<Elapsed>(), "{error:?}");
    assert_eq!(mediator.send(&Token::never(), Quick).await.unwrap(), 1);
}

/// `TimeoutLayer` makes a `BoxError` of all errors.
#[tokio::test(start_paused = true)]
async fn an_error_that_goes_through_a_layer_stays_itself() {
    let boxing = || TimeoutLayer::new(Duration::from_secs(60));
    let mediator = Mediator::builder()
        .layer(boxing())
        .layer_for::<Wait>(boxing())
        .layer(layer_fn(|rest: Rest| BoxCloneSyncService::new(rest)))
        .handler(|stop: Token, _: Wait| async move { Err(stop.cancelled().await) })
        .handler(|_: Token, _: Quick| async { Err(io::Error::other("no ink")) })
        .build()
        .unwrap();
    let error = mediator.send(&Token::never(), Quick).await.unwrap_err();
    assert!(error.failure().unwrap().is::<io::Error>());
    let source = Source::new();
    let waits = tokio::spawn(mediator.send(&source.token(), Wait));
    tokio::task::yield_now().await;
    source.cancel_with(Reason::Shutdown);
    let error = soon(waits).await.unwrap().unwrap_err();
    assert_eq!(error.cancelled(), source.token().cancellation().as_ref());
    assert_eq!(crate::chain(&error), ["`wait` was cancelled", "cancelled: shutdown"]);
}

/// A service that is not ready for ever, or fails to be.
#[derive(Clone)]
struct Broken;
impl Service<Call> for Broken {
    type Response = Answer;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("it is broken".into()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        panic!("it was not ready")
    }
}

#[test]
fn a_service_that_is_broken_says_so() {
    struct Breaks;
    impl<S> Layer<S> for Breaks {
        type Service = Broken;
        fn layer(&self, _: S) -> Broken {
            Broken
        }
    }
    let (mediator, _go) = handlers(Mediator::builder().layer(Breaks));
    let error = at_once(mediator.send(&Token::never(), Wait)).unwrap_err();
    assert_eq!(error.failure().unwrap().to_string(), "it is broken");
}
