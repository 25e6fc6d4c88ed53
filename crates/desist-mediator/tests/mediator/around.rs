//! Behaviours, around handlers.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use desist::{Source, Token};
use desist_mediator::{
    Answer, Behaviour, Call, Error, Invalid, Mediator, Notification, Proceed, Request, Validation,
};

use crate::{Log, OnDrop, at_once, poll, soon};

pub(crate) struct Add(pub(crate) u32);
impl Request for Add {
    type Response = u32;
    fn name() -> &'static str {
        "add"
    }
    fn validate(&self) -> Result<(), Invalid> {
        Invalid::unless(self.0 != 13, "number", "must not be 13")
    }
}

/// Has a response of the same type.
pub(crate) struct Multiply(pub(crate) u32);
impl Request for Multiply {
    type Response = u32;
    fn name() -> &'static str {
        "multiply"
    }
}

pub(crate) struct Shout(pub(crate) &'static str);
impl Request for Shout {
    type Response = String;
    fn name() -> &'static str {
        "shout"
    }
}

pub(crate) async fn add(_stop: Token, Add(number): Add) -> Result<u32, Error> {
    Ok(number + 1)
}

pub(crate) async fn multiply(_stop: Token, Multiply(number): Multiply) -> Result<u32, Error> {
    Ok(number * 10)
}

pub(crate) async fn shout(_stop: Token, Shout(text): Shout) -> Result<String, Error> {
    Ok(text.to_uppercase())
}

struct Says(Log, &'static str);
impl Behaviour for Says {
    async fn handle(&self, call: Call) -> Result<Answer, Error> {
        self.0.say(format!("{} begins", self.1));
        let answer = call.proceed().await;
        self.0.say(format!("{} ends", self.1));
        answer
    }
}

#[test]
fn behaviours_run_in_the_order_they_were_added() {
    let log = Log::default();
    let handles = log.clone();
    let mediator = Mediator::builder()
        .behaviour(Says(log.clone(), "one"))
        .behaviour_for::<Add>(Says(log.clone(), "two, of add"))
        .behaviour_for::<Shout>(Says(log.clone(), "two, of shout"))
        .behaviour(Says(log.clone(), "three"))
        .behaviour_for::<Add>(Says(log.clone(), "four, of add"))
        .handler(move |stop: Token, request: Add| {
            handles.say("handler");
            add(stop, request)
        })
        .handler(shout)
        .build()
        .unwrap();
    assert_eq!(at_once(mediator.send(&Token::never(), Add(1))).unwrap(), 2);
    let of_add = [
        "one begins",
        "two, of add begins",
        "three begins",
        "four, of add begins",
        "handler",
        "four, of add ends",
        "three ends",
        "two, of add ends",
        "one ends",
    ];
    assert_eq!(log.said(), of_add);
    assert_eq!(at_once(mediator.send(&Token::never(), Shout("hey"))).unwrap(), "HEY");
    let of_shout = [
        "one begins",
        "two, of shout begins",
        "three begins",
        "three ends",
        "two, of shout ends",
        "one ends",
    ];
    assert_eq!(log.said()[of_add.len()..], of_shout);
}

#[test]
fn who_answers_in_place_of_the_handler_is_the_last_to_be_asked() {
    let log = Log::default();
    let mediator = Mediator::builder()
        .behaviour(Says(log.clone(), "outer"))
        .behaviour_for::<Add>(|call: Call| async { call.answer::<Add>(42) })
        .behaviour(Says(log.clone(), "inner"))
        .handler(|_: Token, _: Add| async { panic!("it is not asked") as Result<u32, Error> })
        .build()
        .unwrap();
    assert_eq!(at_once(mediator.send(&Token::never(), Add(1))).unwrap(), 42);
    assert_eq!(log.said(), ["outer begins", "outer ends"]);
}

#[test]
fn an_answer_of_another_type_is_an_error() {
    let mediator = Mediator::builder()
        .behaviour_for::<Add>(|call: Call| async { call.answer::<Shout>("what".into()) })
        .behaviour_for::<Multiply>(|call: Call| async { call.answer::<Add>(1) })
        .handler(add)
        .handler(multiply)
        .build()
        .unwrap();
    let error = at_once(mediator.send(&Token::never(), Add(1))).unwrap_err();
    assert!(error.to_string().starts_with("`add` got the answer to another request; "), "{error}");
    assert!(error.to_string().ends_with("with the type of its own request"), "{error}");
    let error = at_once(mediator.send(&Token::never(), Multiply(1))).unwrap_err();
    assert!(error.to_string().starts_with("`multiply` got the answer to another"), "{error}");
    assert!(error.cancelled().is_none() && error.failure().is_none());
}

#[test]
fn requests_and_responses_are_changed_by_who_knows_the_type() {
    let mediator = Mediator::builder()
        .behaviour(|mut call: Call| async {
            assert!(call.request::<Shout>().is_none() && call.request_mut::<Shout>().is_none());
            assert_eq!(call.kind(), std::any::TypeId::of::<Add>());
            assert_eq!(call.name(), "add");
            if let Some(Add(number)) = call.request_mut::<Add>() {
                *number += 100;
            }
            assert_eq!(call.request::<Add>().unwrap().0, 101);
            let mut answer = call.proceed().await?;
            // Of the type, but to another request.
            assert!(answer.response::<Multiply>().is_none());
            assert!(answer.response_mut::<Shout>().is_none());
            *answer.response_mut::<Add>().unwrap() += 1000;
            assert_eq!(answer.response::<Add>(), Some(&1102));
            Ok(answer)
        })
        .handler(add)
        .build()
        .unwrap();
    assert_eq!(at_once(mediator.send(&Token::never(), Add(1))).unwrap(), 1102);
}

#[test]
fn what_is_not_valid_reaches_nobody_behind_the_validation() {
    let log = Log::default();
    let mediator = Mediator::builder()
        .behaviour(Says(log.clone(), "outer"))
        .behaviour(Validation)
        .behaviour(Says(log.clone(), "inner"))
        .handler(add)
        .build()
        .unwrap();
    let error = at_once(mediator.send(&Token::never(), Add(13))).unwrap_err();
    assert_eq!(error.to_string(), "`add` is not valid");
    let fields: Vec<_> = error.invalid().unwrap().fields().collect();
    assert_eq!(fields, [("number", "must not be 13")]);
    assert_eq!(log.said(), ["outer begins", "outer ends"]);
    // Nobody asks without it.
    let mediator = Mediator::builder().handler(add).build().unwrap();
    assert_eq!(at_once(mediator.send(&Token::never(), Add(13))).unwrap(), 14);
}

fn panics<T>(future: impl Future<Output = T>) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| at_once(future))).err().expect("it panics");
    panic.downcast_ref::<&str>().copied().map_or_else(
        || panic.downcast_ref::<String>().cloned().unwrap_or_default(),
        ToString::to_string,
    )
}

#[test]
fn a_panic_goes_to_the_caller_and_leaves_the_mediator_as_it_was() {
    let log = Log::default();
    let dropped = log.clone();
    let mediator = Mediator::builder()
        .behaviour(move |call: Call| {
            let dropped = OnDrop(dropped.clone(), "behaviour dropped");
            async move {
                let answer = call.proceed().await;
                drop(dropped);
                answer
            }
        })
        .behaviour_for::<Shout>(|call: Call| async move {
            match call.request::<Shout>() {
                Some(Shout("early")) => panic!("before"),
                Some(Shout("late")) => {
                    let _ = call.proceed().await;
                    panic!("after")
                }
                _ => call.proceed().await,
            }
        })
        .handler(|_: Token, Shout(text)| {
            assert_ne!(text, "at once", "in the call");
            async move {
                assert_ne!(text, "in the handler", "in the future");
                Ok::<_, Error>(text.to_uppercase())
            }
        })
        .build()
        .unwrap();
    let never = Token::never();
    for (text, said) in [
        ("early", "before"),
        ("late", "after"),
        ("at once", "in the call"),
        ("in the handler", "in the future"),
    ] {
        let panic = panics(mediator.send(&never, Shout(text)));
        assert!(panic.contains(said), "{text}: {panic}");
        assert_eq!(at_once(mediator.send(&never, Shout("well"))).unwrap(), "WELL");
    }
    assert_eq!(log.said(), ["behaviour dropped"; 8]);
}

#[test]
fn what_was_ready_or_has_panicked_says_so_when_it_is_polled_again() {
    let mediator = Mediator::builder()
        .handler(|_: Token, Shout(text)| async move {
            assert_ne!(text, "panic");
            Ok::<_, Error>(String::new())
        })
        .build()
        .unwrap();
    let never = Token::never();
    let mut sending = pin!(mediator.send(&never, Shout("")));
    assert!(poll(&mut sending).is_ready());
    assert!(panics(sending).contains("polled after it was ready"));
    let mut sending = pin!(mediator.send(&never, Shout("panic")));
    panics(sending.as_mut());
    assert!(panics(sending).contains("polled after it was ready, or had panicked"));
    let mut sending = pin!(mediator.send(&never, Add(1)));
    assert!(poll(&mut sending).is_ready());
    assert!(panics(sending).contains("polled after it was ready"));
}

#[test]
fn what_is_dropped_half_way_drops_behaviours_and_handler() {
    let log = Log::default();
    let (around, within) = (log.clone(), log.clone());
    let mediator = Mediator::builder()
        .behaviour(move |call: Call| {
            let dropped = OnDrop(around.clone(), "behaviour dropped");
            async move {
                let answer = call.proceed().await;
                drop(dropped);
                answer
            }
        })
        .handler(move |_: Token, _: Add| {
            let dropped = OnDrop(within.clone(), "handler dropped");
            async move {
                pending::<()>().await;
                drop(dropped);
                Ok::<_, Error>(0)
            }
        })
        .build()
        .unwrap();
    let source = Source::new();
    // Not begun, there is nothing to drop.
    drop(mediator.send(&source.token(), Add(1)));
    assert!(log.said().is_empty());
    let mut sending = Box::pin(mediator.send(&source.token(), Add(1)));
    assert!(poll(&mut sending.as_mut()).is_pending());
    drop(sending);
    let mut said = log.said();
    said.sort_unstable();
    assert_eq!(said, ["behaviour dropped", "handler dropped"]);
    assert!(!source.is_cancelled(), "its token may be that of others");
}

/// A behaviour may give up what comes after it, and answer in its place.
#[test]
fn what_a_behaviour_drops_is_dropped_where_it_stands() {
    let log = Log::default();
    let within = log.clone();
    let mediator = Mediator::builder()
        .behaviour(|call: Call| async {
            let mut rest = call.proceed();
            let first = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut rest).poll(cx))).await;
            assert!(first.is_pending());
            drop::<Proceed>(rest);
            Err(Error::new("no patience"))
        })
        .handler(move |_: Token, _: Add| {
            let dropped = OnDrop(within.clone(), "handler dropped");
            async move {
                pending::<()>().await;
                drop(dropped);
                Ok::<_, Error>(0)
            }
        })
        .build()
        .unwrap();
    let error = at_once(mediator.send(&Token::never(), Add(1))).unwrap_err();
    assert_eq!(error.failure().unwrap().to_string(), "no patience");
    assert_eq!(log.said(), ["handler dropped"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_may_be_sent_on_any_thread() {
    struct Yields;
    impl Behaviour for Yields {
        async fn handle(&self, call: Call) -> Result<Answer, Error> {
            if call.request::<Add>().is_some_and(|add| add.0 % 64 == 0) {
                tokio::task::yield_now().await;
            }
            call.proceed().await
        }
    }
    let mediator = Mediator::builder()
        .behaviour(Yields)
        .behaviour(|mut call: Call| {
            call.narrow();
            call.proceed()
        })
        .handler(add)
        .handler(shout)
        .build()
        .unwrap();
    let source = Source::new();
    let tasks: Vec<_> = (0..8_u32)
        .map(|task| {
            let (mediator, token) = (mediator.clone(), source.token());
            tokio::spawn(async move {
                for number in 0..10_000 {
                    let number = task * 10_000 + number;
                    assert_eq!(mediator.send(&token, Add(number)).await.unwrap(), number + 1);
                }
                // The future itself borrows nothing.
                let spawned = tokio::spawn(mediator.send(&token, Shout("done")));
                spawned.await.unwrap().unwrap()
            })
        })
        .collect();
    drop(mediator);
    for task in tasks {
        assert_eq!(task.await.unwrap(), "DONE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancellation_from_another_thread_is_seen_by_all_from_then_on() {
    let mediator = Mediator::builder()
        .behaviour(|mut call: Call| {
            call.narrow();
            call.proceed()
        })
        .handler(|stop: Token, Add(number)| async move { stop.check().map(|()| number) })
        .build()
        .unwrap();
    for _ in 0..50 {
        let source = Source::new();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (mediator, token) = (mediator.clone(), source.token());
                tokio::spawn(async move {
                    // Whatever is before it is well, whatever is after it is not.
                    let error = loop {
                        if let Err(error) = mediator.send(&token, Add(1)).await {
                            break error;
                        }
                        tokio::task::yield_now().await;
                    };
                    assert!(mediator.send(&token, Add(1)).await.is_err());
                    error.cancelled().cloned()
                })
            })
            .collect();
        tokio::task::yield_now().await;
        source.cancel();
        for task in tasks {
            assert_eq!(soon(task).await.unwrap(), source.token().cancellation());
        }
    }
}

#[test]
fn all_that_is_public_is_shown_on_one_line() {
    struct Heard;
    impl Notification for Heard {}
    let log = Log::default();
    let shown = |what: &dyn std::fmt::Debug| {
        let text = format!("{what:?}");
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        text
    };
    let says = log.clone();
    let builder = Mediator::builder()
        .behaviour(move |call: Call| {
            says.say(format!("{call:?}"));
            let (rest, says) = (call.proceed(), says.clone());
            says.say(format!("{rest:?}"));
            async move {
                let answer = rest.await?;
                says.say(format!("{answer:?}"));
                Ok(answer)
            }
        })
        .notification_handler(|_: Token, _: Arc<Heard>| async { Err("deaf") })
        .handler(add);
    let weak = builder.weak();
    assert!(shown(&builder).starts_with("MediatorBuilder { handlers: [\"add\"], behaviours: 1"));
    assert_eq!(shown(&weak), "WeakMediator { mediator: None }");
    let mediator = builder.build().unwrap();
    assert_eq!(shown(&mediator), "Mediator { requests: 1, notifications: 1, .. }");
    assert!(shown(&weak).starts_with("WeakMediator { mediator: Some(Mediator {"));
    let sending = mediator.send(&Token::never(), Add(1));
    assert_eq!(shown(&sending), "Sending { request: \"add\", .. }");
    at_once(sending).unwrap();
    let error = at_once(mediator.send(&Token::never(), Multiply(1))).unwrap_err();
    assert!(shown(&error).starts_with("Error { request: \"multiply\""));
    let publishing = mediator.publish(&Token::never(), Heard);
    assert_eq!(shown(&publishing), "Publishing { .. }");
    let error = at_once(publishing).unwrap_err();
    assert!(shown(&error).contains("deaf") && shown(&error.failures()[0]).contains("deaf"));
    shown(&Mediator::builder().requires::<Add>().build().unwrap_err());
    shown(&Invalid::new("a", "b"));
    shown(&(desist_mediator::Delivery::together(), Validation));
    shown(
        &desist_mediator::Timeout::new(std::time::Duration::ZERO)
            .but::<Add>(std::time::Duration::MAX),
    );
    let said = log.said();
    assert!(said[0].starts_with("Call { name: \"add\", token: Token"), "{said:?}");
    assert_eq!(said[1..], ["Proceed { name: \"add\", .. }", "Answer { .. }"]);
}
