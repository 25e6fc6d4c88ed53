//! What the public surface says of each name, where no promise speaks of it.

mod common;

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use desist::{Cancelled, Cause, Guard, Reason, Source, Token};

use common::{Captured, assert_same_cause, cause_of, detail_text};

const REASONS: [Reason; 10] = [
    Reason::Requested,
    Reason::Superseded,
    Reason::Disconnected,
    Reason::Deadline,
    Reason::SiblingFailed,
    Reason::Dropped,
    Reason::Overload,
    Reason::LeaseLost,
    Reason::Shutdown,
    Reason::Other,
];

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
struct Failure(&'static str);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Failure {}

/// The cause that a token reports which was cancelled with it.
fn reported(cause: impl Into<Cause>) -> Cancelled {
    cause_of(&Token::cancelled_with(cause))
}

mod reasons {
    use super::*;

    #[test]
    fn are_ordered_by_severity() {
        assert!(REASONS.is_sorted());
        assert!(REASONS.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(REASONS.iter().max(), Some(&Reason::Other));
    }

    #[test]
    fn are_told_apart_by_eq_hash_and_text() {
        let set: HashSet<Reason> = REASONS.into_iter().collect();
        assert_eq!(set.len(), REASONS.len());
        let texts: HashSet<&str> = REASONS.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(texts.len(), REASONS.len());
        for reason in REASONS {
            let copy = reason;
            assert_eq!(reason, copy);
            assert!(!reason.as_str().is_empty());
        }
    }
}

mod causes {
    use super::*;

    #[test]
    fn from_a_reason() {
        for reason in REASONS {
            let cancelled = reported(reason);
            assert_eq!(cancelled.reason(), reason);
            assert!(cancelled.detail().is_none());
            let cancelled = reported(Cause::new(reason));
            assert_eq!(cancelled.reason(), reason);
            assert!(cancelled.detail().is_none());
        }
    }

    #[test]
    fn from_a_text_it_is_requested_with_that_message() {
        for cancelled in [reported("why not"), reported(String::from("why not"))] {
            assert_eq!(cancelled.reason(), Reason::Requested);
            assert_eq!(detail_text(&cancelled).as_deref(), Some("why not"));
        }
    }

    #[test]
    fn from_a_cancellation_it_keeps_the_reason_and_has_it_as_the_detail() {
        let first = reported(Cause::new(Reason::LeaseLost).message("not renewed"));
        let second = reported(first.clone());
        assert_eq!(second.reason(), Reason::LeaseLost);
        let detail = second.detail().expect("the first");
        let inner = detail.downcast_ref::<Cancelled>().expect("a cancellation");
        assert_same_cause(inner, &first);
    }

    #[test]
    fn a_detail_is_kept_with_its_type() {
        for cancelled in [
            reported(Cause::new(Reason::SiblingFailed).detail(Failure("broken"))),
            reported(Reason::SiblingFailed.with(Failure("broken"))),
            reported(
                Reason::SiblingFailed.with(Box::<dyn Error + Send + Sync>::from(Failure("broken"))),
            ),
        ] {
            assert_eq!(cancelled.reason(), Reason::SiblingFailed);
            let detail = cancelled.detail().expect("it has one");
            assert_eq!(detail.downcast_ref::<Failure>().map(|f| f.0), Some("broken"));
        }
    }

    #[test]
    fn a_text_may_be_given_as_a_detail() {
        let cancelled = reported(Reason::Overload.with("no slot"));
        assert_eq!(detail_text(&cancelled).as_deref(), Some("no slot"));
        let cancelled = reported(Cause::new(Reason::Overload).detail(String::from("no slot")));
        assert_eq!(detail_text(&cancelled).as_deref(), Some("no slot"));
    }

    #[test]
    fn the_last_of_message_and_detail_wins() {
        let cause = Cause::new(Reason::Other).message("text").detail(Failure("error"));
        assert_eq!(detail_text(&reported(cause)).as_deref(), Some("error"));
        let cause = Cause::new(Reason::Other).detail(Failure("error")).message("text");
        assert_eq!(detail_text(&reported(cause)).as_deref(), Some("text"));
        let cause = Cause::new(Reason::Other).message("one").message("two");
        assert_eq!(detail_text(&reported(cause)).as_deref(), Some("two"));
    }

    #[test]
    fn a_message_of_any_length_is_kept() {
        for text in [String::new(), "x".repeat(1_000_000), String::from("zeile\nzwei \u{1f6d1}")] {
            let cancelled = reported(text.clone());
            assert_eq!(detail_text(&cancelled), Some(text));
        }
    }

    #[test]
    fn a_detail_lives_as_long_as_somebody_can_ask_for_it() {
        #[derive(Debug)]
        struct Holding(#[allow(dead_code)] std::sync::Arc<()>);

        impl fmt::Display for Holding {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("holding")
            }
        }

        impl Error for Holding {}

        let captured = Captured::new();
        let source = Source::new();
        let child = source.child().token();
        source.cancel_with(Reason::Other.with(Holding(captured.handle())));
        let error = child.check().expect_err("cancelled");
        let copy = error.clone();
        drop((source, child, error));
        assert_eq!(captured.held(), 1);
        drop(copy);
        assert_eq!(captured.held(), 0);
    }
}

mod guards {
    use super::*;

    #[test]
    fn cancel_on_drop_with_the_reason_dropped() {
        let source = Source::new();
        let guard: Guard = source.guard();
        assert!(!guard.token().is_cancelled());
        assert_eq!(guard.token(), source.token());
        drop(guard);
        assert_eq!(source.token().reason(), Some(Reason::Dropped));
    }

    #[test]
    fn own_the_source_if_made_from_it() {
        let source = Source::new();
        let token = source.token();
        let guard = source.into_guard();
        assert!(token.can_be_cancelled());
        drop(guard);
        assert_eq!(token.reason(), Some(Reason::Dropped));
    }

    #[test]
    fn give_up_their_duty_when_disarmed() {
        let source = Source::new();
        let token = source.token();
        let source = source.into_guard().disarm();
        assert!(!token.is_cancelled());
        assert_eq!(source.token(), token);
        drop(source);
        assert!(!token.is_cancelled());
        assert!(!token.can_be_cancelled());
    }

    #[test]
    fn leave_a_cancelled_source_as_it_is() {
        let source = Source::new();
        let guard = source.guard();
        source.cancel_with(Reason::Superseded);
        drop(guard);
        assert_eq!(source.token().reason(), Some(Reason::Superseded));
    }

    #[test]
    fn cancel_when_a_panic_unwinds() {
        let source = Source::new();
        common::panic_of(|| {
            let _guard = source.guard();
            common::panics::planned("under a guard")
        });
        assert_eq!(source.token().reason(), Some(Reason::Dropped));
    }
}

mod identity {
    use super::*;

    #[test]
    fn is_that_of_the_signal() {
        let (source, other) = (Source::default(), Source::default());
        let dead = Source::new().token();
        let all = [
            source.token(),
            other.token(),
            source.child().token(),
            dead,
            Token::never(),
            Token::cancelled_with("x"),
            Token::cancelled_with("x"),
            Source::with_timeout(Duration::ZERO).token(),
        ];
        for (index, left) in all.iter().enumerate() {
            for (other, right) in all.iter().enumerate() {
                assert_eq!(left == right, index == other, "{index} {other}");
            }
        }
        let set: HashSet<Token> = all.iter().chain(&all).cloned().collect();
        assert_eq!(set.len(), all.len());
    }

    #[test]
    fn does_not_change_with_the_state() {
        let source = Source::new();
        let token = source.token();
        let hash = |token: &Token| BuildHasherDefault::<DefaultHasher>::default().hash_one(token);
        assert_ne!(hash(&token), hash(&Source::new().token()), "else a set of them is a list");
        let set = HashSet::from([token.clone()]);
        source.cancel_after(HOUR);
        source.cancel();
        drop(source);
        assert!(set.contains(&token));
    }

    #[test]
    fn never_is_the_default_and_the_shield() {
        assert_eq!(Token::default(), Token::never());
        assert_eq!(Source::new().token().shielded(), Token::never());
        assert_eq!(Token::never().clone(), Token::never());
    }
}

mod any {
    use super::*;

    #[test]
    fn of_none_is_never() {
        assert_eq!(Token::any::<Token>([]), Token::never());
        assert_eq!(Token::any([Token::never(), Token::default()]), Token::never());
        let dead = Source::new().token();
        assert_eq!(Token::any([&dead, &Token::never()]), Token::never());
    }

    #[test]
    fn of_one_distinct_is_that_one() {
        let source = Source::new();
        let token = source.token();
        let dead = Source::new().token();
        assert_eq!(Token::any([&token]), token);
        assert_eq!(Token::any([&token, &token, &source.token()]), token);
        assert_eq!(Token::any([&Token::never(), &token, &dead, &token]), token);
        let cancelled = Token::cancelled_with("x");
        assert_eq!(Token::any([&cancelled, &cancelled]), cancelled);
    }

    #[test]
    fn takes_owned_and_borrowed_tokens_and_any_collection() {
        let sources = [Source::new(), Source::new()];
        let tokens: Vec<Token> = sources.iter().map(Source::token).collect();
        for any in [
            Token::any(&tokens),
            Token::any(tokens.clone()),
            Token::any(tokens.iter()),
            Token::any(sources.iter().map(Source::token)),
            Token::any([&tokens[0], &tokens[1]]),
            Token::any(tokens.iter().collect::<HashSet<_>>()),
        ] {
            assert!(!tokens.contains(&any));
            assert!(any.can_be_cancelled());
        }
        let any = Token::any(&tokens);
        sources[1].cancel_with(Reason::Overload);
        assert_eq!(any.reason(), Some(Reason::Overload));
    }

    #[test]
    fn can_no_longer_be_cancelled_when_no_source_is_left() {
        let (left, right) = (Source::new(), Source::new());
        let any = Token::any([left.token(), right.token()]);
        drop(left);
        assert!(any.can_be_cancelled());
        drop(right);
        assert!(!any.can_be_cancelled());
        assert!(!any.is_cancelled());
    }
}

mod can_be_cancelled {
    use super::*;

    #[test]
    fn as_long_as_a_source_lives() {
        let source = Source::new();
        let token = source.token();
        let copy = source.clone();
        drop(source);
        assert!(token.can_be_cancelled());
        let guard = copy.into_guard();
        assert!(token.can_be_cancelled());
        let source = guard.disarm();
        drop(source);
        assert!(!token.can_be_cancelled());
        assert!(token.check().is_ok());
    }

    #[test]
    fn not_by_a_child() {
        let source = Source::new();
        let token = source.token();
        let child = token.child();
        drop(source);
        assert!(!token.can_be_cancelled());
        assert!(child.token().can_be_cancelled());
        child.cancel();
        assert!(!token.can_be_cancelled());
    }

    #[test]
    fn by_any_ancestor() {
        let root = Source::new();
        let leaf = root.child().child().token();
        let linked = Source::linked([Token::never(), leaf.clone()]).token();
        assert!(leaf.can_be_cancelled() && linked.can_be_cancelled());
        drop(root);
        assert!(!leaf.can_be_cancelled() && !linked.can_be_cancelled());
    }

    #[test]
    fn once_cancelled_for_ever() {
        let source = Source::new();
        let token = source.token();
        source.cancel();
        drop(source);
        assert!(token.can_be_cancelled());
        assert!(token.child().token().can_be_cancelled());
        assert!(Token::cancelled_with("x").can_be_cancelled());
    }

    #[test]
    fn never_and_shields_cannot() {
        assert!(!Token::never().can_be_cancelled());
        assert!(!Token::default().can_be_cancelled());
        assert!(!Token::cancelled_with("x").shielded().can_be_cancelled());
        let held = Token::never().child();
        let token = held.token();
        assert!(token.can_be_cancelled(), "by its own source");
        drop(held);
        assert!(!token.can_be_cancelled());
    }
}

#[test]
fn dropping_a_source_cancels_nothing() {
    let source = Source::new();
    let (token, child) = (source.token(), source.child());
    drop(source.clone());
    drop(source);
    assert!(!token.is_cancelled() && !child.is_cancelled());
    assert!(child.cancel());
}

#[test]
fn a_shield_keeps_the_signal_out() {
    let source = Source::new();
    let shield = source.token().shielded();
    let bounded = source.token().shielded_for(HOUR);
    source.cancel();
    assert!(!shield.is_cancelled());
    assert!(!bounded.is_cancelled());
    assert!(bounded.cancel(), "by its own source");
}

#[test]
fn a_child_of_a_source_is_a_child_of_its_token() {
    let source = Source::new();
    let children = [
        source.child(),
        source.token().child(),
        source.token().child_with_timeout(HOUR),
        source.token().child_with_deadline(Instant::now() + HOUR),
    ];
    source.cancel();
    assert!(children.iter().all(Source::is_cancelled));
}

#[test]
fn linked_takes_owned_and_borrowed_tokens() {
    let sources = [Source::new(), Source::new()];
    let tokens: Vec<Token> = sources.iter().map(Source::token).collect();
    let linked = [
        Source::linked(&tokens),
        Source::linked(tokens.clone()),
        Source::linked(sources.iter().map(Source::token)),
        Source::linked([&tokens[0], &tokens[1]]),
    ];
    sources[0].cancel();
    assert!(linked.iter().all(Source::is_cancelled));
}

#[test]
fn a_token_may_be_given_in_whatever_has_one() {
    fn reason(token: impl AsRef<Token>) -> Option<Reason> {
        token.as_ref().reason()
    }
    let token = Token::cancelled_with(Reason::Overload);
    assert_eq!(reason(&token), Some(Reason::Overload));
    assert_eq!(reason(token), Some(Reason::Overload));
}
