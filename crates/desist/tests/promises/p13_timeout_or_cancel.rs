//! Promise 13: a timeout is told from a cancellation by its reason, through any number of children.

use std::io;
use std::time::Duration;

use desist::{Cancelled, Reason, Source, Token, find_cancelled};

use crate::common::cause_of;

fn descendants(of: &Source, depth: usize) -> Vec<Token> {
    let mut source = of.clone();
    (0..depth)
        .map(|level| {
            source = if level % 3 == 0 {
                Source::linked([Token::never(), source.token(), Source::new().token()])
            } else {
                source.child()
            };
            source.token()
        })
        .collect()
}

#[test]
fn a_timeout_is_a_deadline_at_every_depth() {
    let root = Source::new();
    let tokens = descendants(&root, 1_000);
    root.cancel_after(Duration::ZERO);
    assert!(tokens.iter().all(|token| token.reason() == Some(Reason::Deadline)));
}

#[test]
fn a_cancellation_is_no_deadline_at_any_depth() {
    let root = Source::with_timeout(Duration::from_secs(3_600));
    let tokens = descendants(&root, 1_000);
    root.cancel();
    assert!(tokens.iter().all(|token| token.reason() == Some(Reason::Requested)));
}

#[test]
fn a_childs_timeout_is_not_its_parents() {
    let root = Source::new();
    let middle = root.child();
    let tokens = descendants(&middle, 10);
    middle.cancel_after(Duration::ZERO);
    assert!(!root.is_cancelled());
    root.cancel_with(Reason::Shutdown);
    assert_eq!(middle.token().reason(), Some(Reason::Deadline));
    assert!(tokens.iter().all(|token| token.reason() == Some(Reason::Deadline)));
    assert_eq!(root.token().reason(), Some(Reason::Shutdown));
}

#[cfg(feature = "testing")]
#[test]
fn whichever_comes_first_is_told() {
    let clock = desist::testing::ManualClock::new();
    let second = Duration::from_secs(1);
    for deadline_first in [false, true] {
        let root = Source::with_clock(clock.clock());
        let tokens = descendants(&root, 20);
        let timed = tokens[7].child_with_timeout(second);
        let below = descendants(&timed, 20);
        let expected = if deadline_first {
            clock.advance(second);
            root.cancel();
            Reason::Deadline
        } else {
            root.cancel();
            clock.advance(second);
            Reason::Requested
        };
        assert!(below.iter().all(|token| token.reason() == Some(expected)));
        assert!(tokens.iter().all(|token| token.reason() == Some(Reason::Requested)));
    }
}

#[test]
fn as_an_io_error_a_deadline_is_timed_out_and_anything_else_is_not() {
    let timed = Source::with_timeout(Duration::ZERO).child().token();
    let error = io::Error::from(cause_of(&timed));
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    for reason in [
        Reason::Requested,
        Reason::Superseded,
        Reason::Disconnected,
        Reason::SiblingFailed,
        Reason::Dropped,
        Reason::Overload,
        Reason::LeaseLost,
        Reason::Shutdown,
        Reason::Other,
    ] {
        let error = io::Error::from(cause_of(&Token::cancelled_with(reason)));
        assert_eq!(error.kind(), io::ErrorKind::Other, "{reason}");
        let found = find_cancelled(&error).map(Cancelled::reason);
        assert_eq!(found, Some(reason));
    }
}

#[test]
fn the_reason_survives_being_handed_on_as_a_cause() {
    let timed = cause_of(&Source::with_timeout(Duration::ZERO).token());
    let next = Source::new();
    next.cancel_with(timed.clone());
    let cause = cause_of(&next.child().token());
    assert_eq!(cause.reason(), Reason::Deadline);
    let detail = cause.detail().expect("itself as the detail");
    let inner = detail.downcast_ref::<Cancelled>().expect("a cancellation");
    crate::common::assert_same_cause(inner, &timed);
}

#[test]
fn a_guards_drop_is_told_from_a_request() {
    let source = Source::new();
    let child = source.child();
    drop(source.guard());
    assert_eq!(child.token().reason(), Some(Reason::Dropped));
}
