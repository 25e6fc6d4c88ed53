//! What can be built, and what is there before and after.

use std::sync::{Arc, Weak};

use desist::Token;
use desist_mediator::{
    Call, Error, Handler, Mediator, MediatorBuilder, Notification, Request, WeakMediator,
};

use crate::{Log, OnDrop, at_once, chain};

macro_rules! requests {
    ($($request:ident $name:literal),*) => {
        $(
            struct $request;
            impl Request for $request {
                type Response = ();
                fn name() -> &'static str {
                    $name
                }
            }
        )*
    };
}
requests!(Open "open", Close "close", Lock "lock", Paint "paint");

async fn nothing<R: Request<Response = ()>>(_stop: Token, _request: R) -> Result<(), Error> {
    Ok(())
}

#[test]
fn what_cannot_be_built_is_told_by_name_and_place() {
    let file = file!();
    let line = line!();
    let builder = Mediator::builder()
        .requires::<Lock>() // line + 2
        .handler(nothing::<Open>)
        .handler(nothing::<Close>)
        .handler(nothing::<Open>) // line + 5
        .requires::<Close>()
        .behaviour_for::<Paint>(|call: Call| call.proceed()) // line + 7
        .handler(nothing::<Open>); // line + 8
    let error = builder.build().unwrap_err();
    let names: Vec<_> = error.requests().collect();
    assert_eq!(names, ["open", "open", "lock", "paint"]);
    let place = |lines: u32| format!("{file}:{}:", line + lines);
    let said = error.to_string();
    let said: Vec<_> = said.lines().collect();
    let [two, three, none, nobody] = said[..] else { panic!("{error}") };
    assert!(two.starts_with(&format!("`open` has two handlers, from {}", place(3))), "{two}");
    assert!(two.contains(&format!(" and {}", place(5))), "{two}");
    assert!(three.contains(&place(3)) && three.contains(&place(8)), "{three}");
    let start = format!("`lock` has no handler, and is required at {}", place(2));
    assert!(none.starts_with(&start), "{none}");
    let start = format!("`paint` has no handler, and a behaviour at {}", place(7));
    assert!(nobody.starts_with(&start), "{nobody}");
    for advice in ["take one of them out", "add one with `handler`", "take the behaviour out"] {
        assert!(said.iter().any(|line| line.ends_with(advice)), "{advice}: {error}");
    }
}

#[cfg(feature = "tower")]
#[test]
fn a_layer_around_nobody_is_told_with_its_place() {
    let line = line!() + 2;
    let error = Mediator::builder()
        .layer_for::<Paint>(tower::limit::ConcurrencyLimitLayer::new(1))
        .build()
        .unwrap_err();
    let place = format!("and a behaviour at {}:{line}:", file!());
    assert!(error.to_string().contains(&place), "{error}");
}

#[test]
fn a_behaviour_around_all_needs_nobody() {
    assert!(Mediator::builder().behaviour(|call: Call| call.proceed()).build().is_ok());
}

#[test]
fn what_is_required_may_be_there_already_or_come_later() {
    let before = Mediator::builder().requires::<Open>().handler(nothing::<Open>);
    let after = Mediator::builder().handler(nothing::<Open>).requires::<Open>().requires::<Open>();
    assert!(before.build().is_ok() && after.build().is_ok());
}

#[test]
fn who_has_no_handler_and_is_not_required_is_told_at_the_request() {
    let mediator = Mediator::builder().handler(nothing::<Open>).build().unwrap();
    let error = at_once(mediator.send(&Token::never(), Close)).unwrap_err();
    assert!(error.is_unhandled() && error.failure().is_none());
    assert!(error.to_string().starts_with("`close` has no handler; register one"), "{error}");
    assert!(at_once(mediator.send(&Token::never(), Open)).is_ok());
}

#[test]
fn behaviours_run_in_their_order_wherever_handlers_are_added() {
    type Add = fn(MediatorBuilder, &Log) -> MediatorBuilder;
    let outer: Add = |builder, log| builder.behaviour(says("outer", log));
    let inner: Add = |builder, log| builder.behaviour_for::<Open>(says("inner", log));
    let handler: Add = |builder, _| builder.handler(nothing::<Open>);
    for order in [[outer, inner, handler], [outer, handler, inner], [handler, outer, inner]] {
        let log = Log::default();
        let builder = order.iter().fold(Mediator::builder(), |builder, add| add(builder, &log));
        at_once(builder.build().unwrap().send(&Token::never(), Open)).unwrap();
        assert_eq!(log.said(), ["outer", "inner"]);
    }
}

fn says(what: &'static str, log: &Log) -> impl desist_mediator::Behaviour + use<> {
    let log = log.clone();
    move |call: Call| {
        log.say(what);
        call.proceed()
    }
}

struct Told;
impl Notification for Told {
    fn name() -> &'static str {
        "told"
    }
}

#[test]
fn a_weak_one_says_so_before_and_after() {
    let gone = |weak: &WeakMediator| {
        assert!(weak.upgrade().is_none());
        let never = Token::never();
        let error = at_once(weak.send(&never, Open)).unwrap_err();
        let text = " to a mediator that is not built yet, or gone; keep one for as long as";
        assert!(error.to_string().starts_with(&format!("`open` was sent{text}")), "{error}");
        assert!(!error.is_unhandled() && error.cancelled().is_none());
        let error = at_once(weak.publish(&never, Told)).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`told` was told{text}")), "{error}");
        assert_eq!((error.notification(), error.failures().len()), ("told", 0));
        assert_eq!((error.not_begun(), error.cancelled()), (0, None));
    };
    let builder = Mediator::builder().handler(nothing::<Open>);
    let (weak, failed) = (builder.weak(), Mediator::builder().requires::<Open>());
    let of_none = failed.weak();
    gone(&weak);
    assert!(failed.build().is_err());
    gone(&of_none);
    let mediator = builder.build().unwrap();
    let other = mediator.downgrade();
    for weak in [&weak, &other] {
        at_once(weak.send(&Token::never(), Open)).unwrap();
        at_once(weak.publish(&Token::never(), Told)).unwrap();
    }
    let clone = mediator.clone();
    drop(mediator);
    at_once(weak.send(&Token::never(), Open)).unwrap();
    drop(clone);
    gone(&weak);
    gone(&other);
}

/// It has what it is called from, as handlers and behaviours do.
struct Knows {
    _mediator: WeakMediator,
    _dropped: OnDrop,
    _alive: Arc<()>,
}

impl Handler<Open> for Knows {
    type Error = Error;
    async fn handle(&self, _stop: Token, _: Open) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn a_mediator_is_freed_though_its_handlers_and_behaviours_know_it() {
    let (log, alive) = (Log::default(), Arc::new(()));
    let watched: Weak<()> = Arc::downgrade(&alive);
    let builder = Mediator::builder();
    let (weak, told) = (builder.weak(), builder.weak());
    let knows = Knows {
        _mediator: builder.weak(),
        _dropped: OnDrop(log.clone(), "handler"),
        _alive: alive,
    };
    let (around, of_told) =
        (OnDrop(log.clone(), "behaviour"), OnDrop(log.clone(), "notification handler"));
    let mediator = builder
        .handler(knows)
        .behaviour(move |call: Call| {
            let _knows = (&weak, &around);
            call.proceed()
        })
        .notification_handler(move |_: Token, _: Arc<Told>| {
            let _knows = (&told, &of_told);
            async { Ok::<_, Error>(()) }
        })
        .build()
        .unwrap();
    at_once(mediator.send(&Token::never(), Open)).unwrap();
    at_once(mediator.publish(&Token::never(), Told)).unwrap();
    // What is on its way has what it needs, and no more.
    let sending = mediator.send(&Token::never(), Open);
    drop(mediator);
    assert!(watched.upgrade().is_some());
    at_once(sending).unwrap();
    let mut said = log.said();
    said.sort_unstable();
    assert_eq!(said, ["behaviour", "handler", "notification handler"]);
    assert!(watched.upgrade().is_none());
}

#[test]
fn what_a_handler_sends_when_the_mediator_has_gone_is_told() {
    let builder = Mediator::builder();
    let weak = builder.weak();
    let mediator = builder
        .handler(nothing::<Open>)
        .handler(move |stop: Token, _: Close| weak.send(&stop, Open))
        .build()
        .unwrap();
    let sending = mediator.send(&Token::never(), Close);
    drop(mediator);
    let error = at_once(sending).unwrap_err();
    let texts = chain(&error);
    assert_eq!(texts[0], "`close` failed");
    assert!(texts[1].starts_with("`open` was sent to a mediator that is not built yet, or gone"));
    assert_eq!(texts.len(), 2);
}
