//! What allocates nothing at all.

use std::pin::pin;
use std::time::Duration;

use desist::{Reason, Source, Token};

use crate::common::{poll_once, poll_with, wakers};
use crate::heap::{allocates_nothing, allocations};

#[test]
fn never_and_what_is_done_with_it() {
    allocates_nothing("never", || {
        let token = Token::never();
        let copy = token.clone();
        assert!(!copy.is_cancelled() && copy.check().is_ok());
        assert!(!token.can_be_cancelled());
        assert_eq!((token.deadline(), token.reason()), (None, None));
        drop(token.shielded());
        assert_eq!(token, Token::default());
    });
}

#[test]
fn a_callback_on_never() {
    let mut number = [0_u64; 32];
    allocates_nothing("on_cancel of never", || {
        number[0] += 1;
        let captured = number;
        Token::never().on_cancel(move |_| drop(Box::new(captured))).detach();
        drop(Token::never().on_cancel(move |_| drop(Box::new(captured))));
    });
}

#[test]
fn any_of_none_and_of_one_distinct() {
    let source = Source::new();
    let (token, dead) = (source.token(), Source::new().token());
    allocates_nothing("any of none", || {
        assert_eq!(Token::any::<Token>([]), Token::never());
        assert_eq!(Token::any([Token::never(), dead.clone()]), Token::never());
    });
    allocates_nothing("any of one", || {
        assert_eq!(Token::any([&token]), token);
        assert_eq!(Token::any([&token, &token, &dead, &token]), token);
        assert_eq!(Token::any([Token::never(), token.clone()]), token);
    });
}

#[test]
fn handles_and_checks() {
    let source = Source::new();
    let token = source.child().token();
    let work = || {
        let (source, token) = (source.clone(), token.clone());
        let _ = (source.is_cancelled(), token.is_cancelled(), token.reason());
        let _ = (token.check(), token.cancellation(), token.can_be_cancelled());
        let _ = (token.deadline(), token.remaining(), source.token() == token);
        drop(source.into_guard().disarm());
    };
    allocates_nothing("checks of a live token", work);
    source.cancel_with(Reason::Overload);
    allocates_nothing("checks of a cancelled token", work);
}

#[test]
fn waiting() {
    let source = Source::new();
    let token = source.token();
    let (_, waker) = wakers::counting();
    let work = || {
        let mut borrowed = pin!(token.cancelled());
        let mut owned = pin!(token.clone().cancelled_owned());
        let _ = poll_with(borrowed.as_mut(), &waker);
        let _ = poll_once(borrowed.as_mut());
        let _ = poll_with(owned.as_mut(), &waker);
        drop(token.cancelled());
        let _ = poll_once(pin!(token.run(std::future::ready(1))));
        let _ = poll_once(pin!(token.run(std::future::pending::<()>())));
        let _ = poll_once(pin!(token.clone().run_owned(std::future::pending::<()>())));
    };
    allocates_nothing("waits of a live token", work);
    source.cancel();
    allocates_nothing("waits of a cancelled token", work);
}

#[test]
fn scoped_callbacks() {
    let source = Source::new();
    let token = source.token();
    let mut called = 0;
    allocates_nothing("while_registered", || token.while_registered(|_| called += 1, || ()));
    source.cancel();
    allocates_nothing("while_registered, cancelled", || {
        token.while_registered(|_| called += 1, || ());
    });
    assert_eq!(called, 2);
}

#[test]
fn a_callback_that_runs_inline() {
    let token = Token::cancelled_with("gone");
    let mut number = [7_u64; 16];
    allocates_nothing("on_cancel of a cancelled token", || {
        number[0] += 1;
        let captured = number;
        let called = token.on_cancel(move |_| assert_eq!(captured[1], 7));
        assert!(!called.unregister());
    });
}

#[test]
fn arming_and_disarming() {
    let source = Source::new();
    // The time keeper is started by the first one.
    source.cancel_after(Duration::from_secs(3_600));
    let asked = allocations(|| {
        for round in 0..1_000 {
            source.cancel_after(Duration::from_secs(3_600 + round));
            source.disarm();
        }
    });
    assert!(asked < 10, "arming again and again allocates {asked} times");
}

#[test]
fn a_child_is_one_allocation() {
    let root = Source::new();
    drop(root.child());
    let mut children = Vec::with_capacity(1_000);
    let asked = allocations(|| children.extend((0..1_000).map(|_| root.child())));
    assert!(asked <= 1_000, "{asked} allocations for a thousand children");
}
