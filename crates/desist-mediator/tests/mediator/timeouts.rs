//! Bounds of time, on a clock that is moved by hand.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use desist::testing::ManualClock;
use desist::{Reason, Source, Token};
use desist_mediator::{Call, Error, Mediator, Request, Timeout};
use tokio::sync::Notify;

use crate::{Log, OnDrop, at_once, poll, soon};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn on_a_clock() -> (ManualClock, Source) {
    let clock = ManualClock::new();
    let caller = Source::with_clock(clock.clock());
    (clock, caller)
}

/// Answers with the time that is left.
struct Left;
impl Request for Left {
    type Response = Option<Duration>;
}

/// The same, and has a time of its own.
struct Export;
impl Request for Export {
    type Response = Option<Duration>;
}

/// Looks at its token.
struct Heed;
impl Request for Heed {
    type Response = ();
}

/// Does not.
struct Deaf;
impl Request for Deaf {
    type Response = &'static str;
    fn name() -> &'static str {
        "deaf"
    }
}

struct House {
    mediator: Mediator,
    log: Log,
    /// Ends `Deaf`.
    go: Arc<Notify>,
}

fn house(timeout: Timeout) -> House {
    let (log, go) = (Log::default(), Arc::new(Notify::new()));
    let (says, goes) = (log.clone(), Arc::clone(&go));
    let mediator = Mediator::builder()
        .behaviour(timeout)
        .handler(|stop: Token, _: Left| async move { Ok::<_, Error>(stop.remaining()) })
        .handler(|stop: Token, _: Export| async move { Ok::<_, Error>(stop.remaining()) })
        .handler(|stop: Token, _: Heed| async move { Err::<(), _>(stop.cancelled().await) })
        .handler(move |_: Token, _: Deaf| {
            let (go, dropped) = (Arc::clone(&goes), OnDrop(says.clone(), "dropped"));
            async move {
                go.notified().await;
                drop(dropped);
                Ok::<_, Error>("done")
            }
        })
        .build()
        .unwrap();
    House { mediator, log, go }
}

#[test]
fn the_time_is_seen_coming_and_each_kind_may_have_its_own() {
    let (clock, caller) = on_a_clock();
    let House { mediator, .. } = house(Timeout::new(s(30)).but::<Export>(s(600)));
    let token = caller.token();
    assert_eq!(at_once(mediator.send(&token, Left)).unwrap(), Some(s(30)));
    assert_eq!(at_once(mediator.send(&token, Export)).unwrap(), Some(s(600)));
    // A shorter one that is there already stays.
    let short = caller.child();
    short.cancel_after(s(7));
    clock.advance(s(2));
    assert_eq!(at_once(mediator.send(&short.token(), Left)).unwrap(), Some(s(5)));
    assert_eq!(at_once(mediator.send(&short.token(), Export)).unwrap(), Some(s(5)));
    let House { mediator, .. } = house(Timeout::new(Duration::MAX));
    assert_eq!(at_once(mediator.send(&token, Left)).unwrap(), None);
}

/// A stream in an answer has the token, and no deadline any more.
#[test]
fn an_answer_in_time_takes_the_deadline_back() {
    struct Stream;
    impl Request for Stream {
        type Response = Token;
    }
    let (clock, caller) = on_a_clock();
    let mediator = Mediator::builder()
        .behaviour(Timeout::new(s(30)))
        .handler(|stop: Token, _: Stream| async { Ok::<_, Error>(stop) })
        .build()
        .unwrap();
    let token = at_once(mediator.send(&caller.token(), Stream)).unwrap();
    assert_eq!(token.deadline(), None);
    clock.advance(s(60));
    assert!(!token.is_cancelled());
    caller.cancel_with(Reason::Disconnected);
    assert_eq!(token.reason(), Some(Reason::Disconnected), "it is still below the caller's");
}

#[tokio::test]
async fn who_looks_at_its_token_is_told_and_waited_for() {
    let (clock, caller) = on_a_clock();
    let House { mediator, .. } = house(Timeout::new(s(30)));
    let sending = tokio::spawn(mediator.send(&caller.token(), Heed));
    tokio::task::yield_now().await;
    clock.advance(s(29));
    tokio::task::yield_now().await;
    assert!(!sending.is_finished());
    clock.advance(s(1));
    let error = soon(sending).await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
    assert!(!caller.is_cancelled());
}

#[tokio::test]
async fn what_does_not_stop_within_the_grace_is_dropped() {
    // By its time, or by the caller: it has the grace, that of its own or five seconds.
    for (timeout, grace) in [(Timeout::new(s(30)), s(5)), (Timeout::new(s(30)).grace(s(9)), s(9))] {
        for by_caller in [false, true] {
            let (clock, caller) = on_a_clock();
            let House { mediator, log, .. } = house(timeout.clone());
            let sending = tokio::spawn(mediator.send(&caller.token(), Deaf));
            tokio::task::yield_now().await;
            if by_caller {
                caller.cancel_with(Reason::Disconnected);
            } else {
                clock.advance(s(30));
            }
            // It is awake by then, and the grace runs.
            tokio::task::yield_now().await;
            clock.advance(grace - Duration::from_millis(1));
            tokio::task::yield_now().await;
            assert!(log.said().is_empty() && !sending.is_finished());
            clock.advance(Duration::from_millis(1));
            let error = soon(sending).await.unwrap().unwrap_err();
            assert_eq!(log.said(), ["dropped"]);
            let reason = if by_caller { Reason::Disconnected } else { Reason::Deadline };
            assert_eq!(error.cancelled().unwrap().reason(), reason, "the first cause");
            assert_eq!(
                (error.request(), error.to_string().as_str()),
                ("deaf", "`deaf` was cancelled")
            );
        }
    }
}

#[test]
fn an_end_within_the_grace_is_the_answer() {
    let (clock, caller) = on_a_clock();
    let House { mediator, go, .. } = house(Timeout::new(s(30)));
    let mut sending = pin!(mediator.send(&caller.token(), Deaf));
    assert!(poll(&mut sending).is_pending());
    clock.advance(s(30));
    assert!(poll(&mut sending).is_pending());
    clock.advance(s(4));
    go.notify_one();
    assert!(matches!(poll(&mut sending), Poll::Ready(Ok("done"))));
}

#[test]
fn an_end_at_the_same_time_as_the_limit_or_the_grace_wins() {
    for at in [s(30), s(35)] {
        let (clock, caller) = on_a_clock();
        let House { mediator, go, .. } = house(Timeout::new(s(30)));
        let mut sending = pin!(mediator.send(&caller.token(), Deaf));
        assert!(poll(&mut sending).is_pending());
        clock.advance(s(30));
        if at > s(30) {
            assert!(poll(&mut sending).is_pending());
            clock.advance(at - s(30));
        }
        go.notify_one();
        assert!(matches!(poll(&mut sending), Poll::Ready(Ok("done"))), "{at:?}");
    }
}

#[test]
fn a_grace_without_an_end_drops_nothing() {
    let (clock, caller) = on_a_clock();
    let House { mediator, log, go } = house(Timeout::new(s(30)).grace(Duration::MAX));
    let mut sending = pin!(mediator.send(&caller.token(), Deaf));
    for _ in 0..5 {
        assert!(poll(&mut sending).is_pending());
        clock.advance(s(1_000_000));
    }
    assert!(log.said().is_empty());
    go.notify_one();
    assert!(matches!(poll(&mut sending), Poll::Ready(Ok("done"))));
}

#[test]
fn no_grace_drops_at_once() {
    let (clock, caller) = on_a_clock();
    let House { mediator, log, .. } = house(Timeout::new(s(30)).grace(Duration::ZERO));
    let mut sending = pin!(mediator.send(&caller.token(), Deaf));
    assert!(poll(&mut sending).is_pending());
    clock.advance(s(30));
    let Poll::Ready(Err(error)) = poll(&mut sending) else { panic!("it goes on") };
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
    assert_eq!(log.said(), ["dropped"]);
}

#[test]
fn with_no_time_nobody_begins() {
    for grace in [Duration::ZERO, s(5), Duration::MAX] {
        let House { mediator, log, .. } = house(Timeout::new(Duration::ZERO).grace(grace));
        for caller in [Token::never(), on_a_clock().1.token()] {
            let error = at_once(mediator.send(&caller, Deaf)).unwrap_err();
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
        }
        assert!(log.said().is_empty(), "it was not made, so it is not dropped");
    }
}

#[test]
fn the_shorter_of_two_counts() {
    for (outer, inner) in [(s(10), s(30)), (s(30), s(10))] {
        let (clock, caller) = on_a_clock();
        let mediator = Mediator::builder()
            .behaviour(Timeout::new(outer))
            .behaviour_for::<Heed>(Timeout::new(inner))
            .handler(|stop: Token, _: Heed| async move { Err::<(), _>(stop.cancelled().await) })
            .build()
            .unwrap();
        let mut sending = pin!(mediator.send(&caller.token(), Heed));
        assert!(poll(&mut sending).is_pending());
        clock.advance(s(9));
        assert!(poll(&mut sending).is_pending());
        clock.advance(s(1));
        assert!(poll(&mut sending).is_ready());
    }
}

/// A shield keeps the handler from being asked, not from being dropped.
#[test]
fn a_shield_outlives_the_grace_only_around_the_timeout() {
    for around in [true, false] {
        let (clock, caller) = on_a_clock();
        let log = Log::default();
        let says = log.clone();
        let shields = |mut call: Call| {
            call.shield(s(60));
            call.proceed()
        };
        let builder = Mediator::builder();
        let builder = if around { builder.behaviour(shields) } else { builder };
        let builder = builder.behaviour(Timeout::new(s(90)));
        let builder = if around { builder } else { builder.behaviour(shields) };
        let mediator = builder
            .handler(move |stop: Token, _: Deaf| {
                let dropped = OnDrop(says.clone(), "dropped");
                async move {
                    let end = stop.run(pending::<&str>()).await;
                    drop(dropped);
                    end
                }
            })
            .build()
            .unwrap();
        let mut sending = pin!(mediator.send(&caller.token(), Deaf));
        assert!(poll(&mut sending).is_pending());
        caller.cancel_with(Reason::Disconnected);
        assert!(poll(&mut sending).is_pending());
        clock.advance(s(5));
        assert_eq!(poll(&mut sending).is_ready(), !around);
        assert_eq!(log.said().len(), usize::from(!around));
    }
}
