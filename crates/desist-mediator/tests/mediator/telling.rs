//! Notifications, told to many.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use desist::{Cancelled, Reason, Source, Token, find_cancelled};
use desist_mediator::{
    BoxError, Delivery, Error, Mediator, MediatorBuilder, Notification, NotificationHandler,
    PublishError, Request,
};
use tokio::sync::Notify;

use crate::{Log, OnDrop, at_once, chain, poll, soon};

struct Sold(u32);
impl Notification for Sold {
    fn name() -> &'static str {
        "sold"
    }
}

const IN_TURN: Delivery = Delivery::in_turn();
const TOGETHER: Delivery = Delivery::together();
const EACH: [Delivery; 4] = [IN_TURN, IN_TURN.until_error(), TOGETHER, TOGETHER.until_error()];

/// What a handler does when it is told; each is there by its name in the log.
#[derive(Clone)]
enum Does {
    Well,
    Fails(&'static str),
    Panics(&'static str),
    Cancels(Source, Reason),
    /// Until it is cancelled, and fails with that.
    Waits,
    /// And ends well when it is cancelled.
    Heeds,
    /// Until it is let go.
    WaitsFor(Arc<Notify>),
    FailsAfter(Arc<Notify>, &'static str),
    /// Ends with a cancellation of its own.
    IsCancelled,
    /// For ever.
    Hangs,
}

struct Hears {
    log: Log,
    name: &'static str,
    does: Does,
}

impl NotificationHandler<Sold> for Hears {
    type Error = BoxError;

    async fn handle(&self, stop: Token, sold: Arc<Sold>) -> Result<(), BoxError> {
        assert_eq!(sold.0, 7);
        self.log.say(self.name);
        match &self.does {
            Does::Well => Ok(()),
            Does::Fails(with) => Err((*with).into()),
            Does::Panics(with) => panic!("{with}"),
            Does::Cancels(source, reason) => {
                source.cancel_with(*reason);
                Ok(())
            }
            Does::Waits => Err(stop.cancelled().await.into()),
            Does::Heeds => {
                let cancelled = stop.cancelled().await;
                self.log.say(format!("{}: {}", self.name, cancelled.reason()));
                Ok(())
            }
            Does::WaitsFor(go) => {
                go.notified().await;
                Ok(())
            }
            Does::FailsAfter(go, with) => {
                go.notified().await;
                Err((*with).into())
            }
            Does::IsCancelled => {
                Err(Token::cancelled_with(Reason::LeaseLost).check().unwrap_err().into())
            }
            Does::Hangs => {
                let _dropped = OnDrop(self.log.clone(), "dropped");
                pending().await
            }
        }
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn those_who(delivery: Delivery, does: impl IntoIterator<Item = Does>) -> (Mediator, Log) {
    let log = Log::default();
    let add = |builder: MediatorBuilder, (name, does): (&&'static str, Does)| {
        builder.notification_handler(Hears { log: log.clone(), name, does })
    };
    let builder = Mediator::builder().delivery(delivery);
    (NAMES.iter().zip(does).fold(builder, add).build().unwrap(), log)
}

fn told(mediator: &Mediator, token: &Token) -> Result<(), PublishError> {
    at_once(mediator.publish(token, Sold(7)))
}

fn reason(cancelled: Option<&Cancelled>) -> Option<Reason> {
    cancelled.map(Cancelled::reason)
}

#[test]
fn they_are_told_in_the_order_they_were_added() {
    for delivery in EACH {
        let (mediator, log) = those_who(delivery, vec![Does::Well; 5]);
        told(&mediator, &Token::never()).unwrap();
        assert_eq!(log.said(), NAMES, "{delivery:?}");
    }
}

#[test]
fn one_after_another_waits_for_each_and_together_for_all() {
    for delivery in [IN_TURN, TOGETHER] {
        let go = Arc::new(Notify::new());
        let does = [Does::WaitsFor(Arc::clone(&go)), Does::Well];
        let (mediator, log) = those_who(delivery, does);
        let mut publishing = pin!(mediator.publish(&Token::never(), Sold(7)));
        assert!(poll(&mut publishing).is_pending());
        assert_eq!(log.said().len(), if delivery == TOGETHER { 2 } else { 1 });
        go.notify_one();
        assert!(matches!(poll(&mut publishing), Poll::Ready(Ok(()))));
        assert_eq!(log.said(), ["a", "b"]);
    }
}

#[test]
fn nobody_who_wants_to_know_is_no_error() {
    let mediator = Mediator::builder().build().unwrap();
    told(&mediator, &Token::never()).unwrap();
    // There is nobody whom the token keeps from being told.
    told(&mediator, &Token::cancelled_with(Reason::Shutdown)).unwrap();
}

#[test]
fn each_kind_may_be_told_in_its_own_way() {
    let log = Log::default();
    let says = |name| Hears { log: log.clone(), name, does: Does::Fails("no") };
    // Said before its handlers are added, and whatever is said of the others.
    let mediator = Mediator::builder()
        .delivery_of::<Sold>(IN_TURN)
        .notification_handler(says("a"))
        .notification_handler(says("b"))
        .delivery(IN_TURN.until_error())
        .build()
        .unwrap();
    assert_eq!(told(&mediator, &Token::never()).unwrap_err().failures().len(), 2);
}

#[test]
fn all_are_told_though_some_fail() {
    for delivery in [IN_TURN, TOGETHER] {
        let log = Log::default();
        let hears = |name, does| Hears { log: log.clone(), name, does };
        let line = line!();
        let mediator = Mediator::builder()
            .delivery(delivery)
            .notification_handler(hears("a", Does::Fails("no paper"))) // line + 3
            .notification_handler(hears("b", Does::Well))
            .notification_handler(hears("c", Does::IsCancelled)) // line + 5
            .notification_handler(hears("d", Does::Fails("no ink"))) // line + 6
            .notification_handler(hears("e", Does::Well))
            .build()
            .unwrap();
        let error = told(&mediator, &Token::never()).unwrap_err();
        assert_eq!(log.said(), NAMES);
        assert_eq!(error.to_string(), "3 of the 5 handlers of `sold` failed");
        assert_eq!((error.notification(), error.not_begun()), ("sold", 0));
        let failures = error.failures().iter();
        let failures = failures.map(|f| (f.place().line() - line, f.error().to_string()));
        assert_eq!(
            failures.collect::<Vec<_>>(),
            [
                (3, "no paper".to_owned()),
                (5, "cancelled: lease lost".to_owned()),
                (6, "no ink".to_owned())
            ]
        );
        for failure in error.failures() {
            assert_eq!(failure.place().file(), file!());
            assert!(failure.handler().ends_with("::telling::Hears"), "{}", failure.handler());
        }
        assert_eq!(chain(&error), ["3 of the 5 handlers of `sold` failed", "no paper"]);
        // The first failure is the cause, from outside as well.
        assert_eq!((reason(error.cancelled()), find_cancelled(&error)), (None, None));
    }
}

#[test]
fn a_panic_goes_on_when_all_have_been_told() {
    for (delivery, all) in EACH.into_iter().zip([true, false, true, false]) {
        let does = [
            Does::Well,
            Does::Panics("first"),
            Does::Fails("no ink"),
            Does::Panics("second"),
            Does::Well,
        ];
        let (mediator, log) = those_who(delivery, does);
        let panic = catch_unwind(AssertUnwindSafe(|| told(&mediator, &Token::never())));
        assert_eq!(panic.unwrap_err().downcast_ref::<String>().unwrap(), "first");
        assert_eq!(log.said(), NAMES[..if all { 5 } else { 2 }], "{delivery:?}");
        // Nothing of it is left.
        let again = catch_unwind(AssertUnwindSafe(|| told(&mediator, &Token::never())));
        assert!(again.is_err());
    }
}

#[test]
fn a_panic_waits_for_those_who_are_told_already() {
    let go = Arc::new(Notify::new());
    let does = [Does::Panics("early"), Does::WaitsFor(Arc::clone(&go))];
    let (mediator, _) = those_who(TOGETHER, does);
    let mut publishing = pin!(mediator.publish(&Token::never(), Sold(7)));
    assert!(poll(&mut publishing).is_pending());
    go.notify_one();
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut publishing))).is_err());
}

#[test]
fn until_an_error_nobody_is_told_after_it() {
    for delivery in [IN_TURN.until_error(), TOGETHER.until_error()] {
        let (mediator, log) =
            those_who(delivery, [Does::Well, Does::Fails("no ink"), Does::Well, Does::Well]);
        let error = told(&mediator, &Token::never()).unwrap_err();
        assert_eq!(log.said(), ["a", "b"], "{delivery:?}");
        let text = "1 of the 4 handlers of `sold` failed, and 2 were not told";
        assert_eq!(chain(&error), [text, "no ink"]);
        assert_eq!((error.failures().len(), error.not_begun()), (1, 2));
        assert!(error.cancelled().is_none(), "it is a failure, and no cancellation");
    }
}

#[test]
fn together_the_others_are_asked_to_stop_and_waited_for() {
    let go = Arc::new(Notify::new());
    let does = [
        Does::Waits,
        Does::Heeds,
        Does::FailsAfter(Arc::clone(&go), "no ink"),
        Does::Waits,
        Does::Well,
    ];
    let (mediator, log) = those_who(TOGETHER.until_error(), does);
    let source = Source::new();
    let mut publishing = pin!(mediator.publish(&source.token(), Sold(7)));
    assert!(poll(&mut publishing).is_pending());
    assert_eq!(log.said(), NAMES);
    go.notify_one();
    // Those before it in the line are woken, and waited for.
    let mut end = poll(&mut publishing);
    if end.is_pending() {
        end = poll(&mut publishing);
    }
    let Poll::Ready(Err(error)) = end else { panic!("they are not asked") };
    assert_eq!(log.said().last().unwrap(), "b: sibling failed");
    assert_eq!((error.failures().len(), error.not_begun()), (3, 0));
    for stopped in [0, 2] {
        let cancelled = find_cancelled(error.failures()[stopped].error());
        assert_eq!(reason(cancelled), Some(Reason::SiblingFailed));
    }
    // Why is what the one failed with, wherever it stands in the line.
    assert_eq!(chain(&error), ["3 of the 5 handlers of `sold` failed", "no ink"]);
    assert!(error.cancelled().is_none() && find_cancelled(&error).is_none());
    assert!(!source.is_cancelled(), "the token is that of others, too");
}

#[test]
fn a_token_that_is_cancelled_for_a_sibling_itself_is_told_as_such() {
    for delivery in EACH {
        let source = Source::new();
        source.cancel_with(Reason::SiblingFailed);
        let (mediator, log) = those_who(delivery, [Does::Well, Does::Well]);
        let error = told(&mediator, &source.token()).unwrap_err();
        assert_eq!(error.cancelled(), source.token().cancellation().as_ref(), "{delivery:?}");
        assert!(log.said().is_empty());
        // And in the middle.
        let source = Source::new();
        let cancels = Does::Cancels(source.clone(), Reason::SiblingFailed);
        let (mediator, log) = those_who(delivery, [cancels, Does::Well]);
        let error = told(&mediator, &source.token()).unwrap_err();
        assert_eq!(error.cancelled(), source.token().cancellation().as_ref(), "{delivery:?}");
        assert_eq!((log.said().len(), error.not_begun()), (1, 1));
    }
}

#[test]
fn a_cancellation_that_comes_after_a_failure_is_not_why() {
    let (source, go) = (Source::new(), Arc::new(Notify::new()));
    let does = [Does::WaitsFor(Arc::clone(&go)), Does::Fails("no ink"), Does::Well];
    let (mediator, log) = those_who(TOGETHER.until_error(), does);
    let mut publishing = pin!(mediator.publish(&source.token(), Sold(7)));
    assert!(poll(&mut publishing).is_pending());
    assert_eq!(log.said(), ["a", "b"]);
    source.cancel_with(Reason::Shutdown);
    go.notify_one();
    let Poll::Ready(Err(error)) = poll(&mut publishing) else { panic!("it goes on") };
    assert_eq!((error.failures().len(), error.not_begun()), (1, 1));
    assert!(error.cancelled().is_none(), "the one that failed kept it from being told");
    // And one after another, while the one that will fail is told.
    let (source, go) = (Source::new(), Arc::new(Notify::new()));
    let does = [Does::FailsAfter(Arc::clone(&go), "no ink"), Does::Well];
    let (mediator, _) = those_who(IN_TURN.until_error(), does);
    let mut publishing = pin!(mediator.publish(&source.token(), Sold(7)));
    assert!(poll(&mut publishing).is_pending());
    source.cancel_with(Reason::Shutdown);
    go.notify_one();
    let Poll::Ready(Err(error)) = poll(&mut publishing) else { panic!("it goes on") };
    assert_eq!((error.failures().len(), error.not_begun()), (1, 1));
    assert!(error.cancelled().is_none(), "nor here");
}

#[test]
fn nobody_is_told_after_the_token_is_cancelled() {
    for delivery in EACH {
        // Before anybody is told.
        let source = Source::new();
        let (mediator, log) = those_who(delivery, vec![Does::Well; 3]);
        let publishing = mediator.publish(&source.token(), Sold(7));
        source.cancel_with(Reason::Shutdown);
        let error = at_once(publishing).unwrap_err();
        assert!(log.said().is_empty(), "{delivery:?}");
        assert_eq!(error.to_string(), "3 of the 3 handlers of `sold` were not told");
        assert_eq!(error.cancelled(), source.token().cancellation().as_ref());
        assert_eq!(find_cancelled(&error), error.cancelled());
        // Between two of them.
        let source = Source::new();
        let cancels = Does::Cancels(source.clone(), Reason::Disconnected);
        let (mediator, log) = those_who(delivery, [Does::Well, cancels, Does::Well, Does::Well]);
        let error = told(&mediator, &source.token()).unwrap_err();
        assert_eq!(log.said(), ["a", "b"], "{delivery:?}");
        assert_eq!(chain(&error)[0], "2 of the 4 handlers of `sold` were not told");
        assert_eq!(reason(error.cancelled()), Some(Reason::Disconnected));
        // The last of them has been told, and all is well.
        let source = Source::new();
        let cancels = Does::Cancels(source.clone(), Reason::Disconnected);
        let (mediator, log) = those_who(delivery, [Does::Well, cancels]);
        told(&mediator, &source.token()).unwrap();
        assert_eq!(log.said(), ["a", "b"], "{delivery:?}");
    }
}

#[tokio::test]
async fn those_who_are_told_see_the_token() {
    for (delivery, told) in EACH.into_iter().zip([1, 1, 3, 3]) {
        let source = Source::new();
        let (mediator, log) = those_who(delivery, vec![Does::Waits; 3]);
        let publishing = tokio::spawn(mediator.publish(&source.token(), Sold(7)));
        tokio::task::yield_now().await;
        assert_eq!(log.said().len(), told);
        source.cancel_with(Reason::Shutdown);
        let error = soon(publishing).await.unwrap().unwrap_err();
        assert_eq!((error.failures().len(), error.not_begun()), (told, 3 - told));
        assert_eq!(error.cancelled(), source.token().cancellation().as_ref());
        assert_eq!(find_cancelled(&error), error.cancelled());
    }
}

#[test]
fn what_is_dropped_half_way_drops_those_who_are_told_and_tells_no_others() {
    for (delivery, told) in EACH.into_iter().zip([1, 1, 3, 3]) {
        let source = Source::new();
        let (mediator, log) = those_who(delivery, vec![Does::Hangs; 3]);
        drop(mediator.publish(&source.token(), Sold(7)));
        assert!(log.said().is_empty());
        let mut publishing = Box::pin(mediator.publish(&source.token(), Sold(7)));
        assert!(poll(&mut publishing.as_mut()).is_pending());
        // It has what it needs.
        drop(mediator);
        drop(publishing);
        let said = log.said();
        assert_eq!(said[..told], NAMES[..told], "{delivery:?}");
        assert_eq!(said[told..], vec!["dropped"; told], "{delivery:?}");
        assert!(!source.is_cancelled());
    }
}

#[test]
fn a_notification_goes_when_all_have_been_told() {
    struct Kept(OnDrop);
    impl Notification for Kept {}
    for delivery in EACH {
        let log = Log::default();
        let says = log.clone();
        let mediator = Mediator::builder()
            .delivery(delivery)
            .notification_handler(|_: Token, _: Arc<Kept>| async { Ok::<_, Cancelled>(()) })
            .notification_handler(move |_: Token, kept: Arc<Kept>| {
                says.say(kept.0.1);
                async { Ok::<_, Cancelled>(()) }
            })
            .build()
            .unwrap();
        let kept = Kept(OnDrop(log.clone(), "kept"));
        at_once(mediator.publish(&Token::never(), kept)).unwrap();
        assert_eq!(log.said(), ["kept", "kept"]);
    }
}

/// `join_all` has another way for more than thirty.
#[test]
fn many_are_told_as_few_are() {
    for delivery in EACH {
        let source = Source::new();
        let log = Log::default();
        let mut builder = Mediator::builder().delivery(delivery);
        for place in 0..100 {
            let (log, source) = (log.clone(), source.clone());
            builder = builder.notification_handler(move |stop: Token, _: Arc<Sold>| {
                log.say(place.to_string());
                if place == 70 {
                    source.cancel();
                }
                async move {
                    tokio::task::consume_budget().await;
                    if place == 70 { Ok(()) } else { stop.check() }
                }
            });
        }
        let mediator = builder.build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(mediator.publish(&source.token(), Sold(7))).unwrap_err();
        assert_eq!(log.said(), (0..=70).map(|place| place.to_string()).collect::<Vec<_>>());
        assert_eq!((error.failures().len(), error.not_begun()), (0, 29), "{delivery:?}");
    }
}

/// A handler that tells others, and fails with it, was cancelled if they were not told for that.
#[test]
fn a_cancellation_is_told_through_a_handler_that_publishes() {
    struct Sell;
    impl Request for Sell {
        type Response = ();
    }
    let builder = Mediator::builder();
    let weak = builder.weak();
    let source = Source::new();
    let goes = source.clone();
    let mediator = builder
        .notification_handler(Hears { log: Log::default(), name: "a", does: Does::Well })
        .handler(move |stop: Token, _: Sell| {
            goes.cancel_with(Reason::Disconnected);
            let weak = weak.clone();
            async move { Ok::<_, Error>(weak.publish(&stop, Sold(1)).await?) }
        })
        .build()
        .unwrap();
    let error = at_once(mediator.send(&source.token(), Sell)).unwrap_err();
    assert_eq!(reason(error.cancelled()), Some(Reason::Disconnected));
}
