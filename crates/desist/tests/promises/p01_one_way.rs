//! Promise 1: a cancelled token stays cancelled, and the first cause is the cause everywhere.

use std::time::{Duration, Instant};

use desist::{Cancelled, Cause, Reason, Source, Token};

use crate::common::{assert_same_cause, cause_of, detail_text};

#[test]
fn a_cancelled_token_stays_cancelled() {
    let source = Source::new();
    let token = source.token();
    assert!(!token.is_cancelled());
    assert!(source.cancel());
    let first = cause_of(&token);

    source.disarm();
    source.cancel_after(Duration::from_secs(1));
    source.cancel_at(Instant::now());
    source.disarm();
    drop(source.guard().disarm());
    drop(source);

    assert!(token.is_cancelled());
    assert!(token.check().is_err());
    assert_same_cause(&first, &cause_of(&token));
}

#[test]
fn a_graver_cause_does_not_replace_the_first() {
    let source = Source::new();
    assert!(source.cancel_with(Cause::new(Reason::Requested).message("the first")));
    let first = cause_of(&source.token());

    assert!(!source.cancel_with(Reason::Shutdown));
    assert!(!source.cancel_with("another message"));
    assert!(!source.cancel());
    source.cancel_after(Duration::ZERO);
    drop(source.guard());
    drop(source.clone().into_guard());

    let last = cause_of(&source.token());
    assert_same_cause(&first, &last);
    assert_eq!(last.reason(), Reason::Requested);
    assert_eq!(detail_text(&last).as_deref(), Some("the first"));
}

#[test]
fn a_lesser_cause_does_not_replace_the_first() {
    let source = Source::new();
    assert!(source.cancel_with(Reason::Shutdown));
    assert!(!source.cancel_with(Reason::Requested));
    assert_eq!(source.token().reason(), Some(Reason::Shutdown));
}

#[test]
fn every_descendant_reports_the_same_cause_place_and_instant() {
    let root = Source::new();
    let other = Source::new();
    let child = root.child();
    let grandchild = child.token().child();
    let timed = root.token().child_with_timeout(Duration::from_secs(3_600));
    let linked = Source::linked([other.token(), grandchild.token()]);
    let any = Token::any([&other.token(), &timed.token()]);
    let below_any = any.child();

    assert!(root.cancel_with(Cause::new(Reason::Overload).message("no slot")));

    let cause = cause_of(&root.token());
    assert_eq!(cause.reason(), Reason::Overload);
    assert_eq!(detail_text(&cause).as_deref(), Some("no slot"));
    for descendant in [&child, &grandchild, &timed, &linked, &below_any] {
        assert!(descendant.is_cancelled());
        assert_same_cause(&cause, &cause_of(&descendant.token()));
    }
    assert_same_cause(&cause, &cause_of(&any));
    assert!(!other.is_cancelled());
}

#[test]
fn a_child_of_a_cancelled_token_is_born_with_its_cause() {
    let root = Source::new();
    root.cancel_with(Cause::new(Reason::LeaseLost).message("too late"));
    let cause = cause_of(&root.token());
    let token = root.token();
    let children = [
        root.child(),
        token.child(),
        token.child_with_timeout(Duration::from_secs(3_600)),
        token.child_with_timeout(Duration::ZERO),
        token.child_with_deadline(Instant::now()),
        Source::linked([&token]),
        token.child().child(),
    ];
    for child in &children {
        assert!(child.is_cancelled());
        assert_same_cause(&cause, &cause_of(&child.token()));
        assert!(!child.cancel_with(Reason::Shutdown));
    }
}

#[test]
fn a_child_that_was_cancelled_first_keeps_its_own_cause() {
    let root = Source::new();
    let child = root.child();
    let below = child.child();
    assert!(child.cancel_with(Reason::Superseded));
    assert!(!root.is_cancelled(), "a child never cancels its parent");

    assert!(root.cancel_with(Reason::Shutdown));
    assert_eq!(child.token().reason(), Some(Reason::Superseded));
    assert_eq!(below.token().reason(), Some(Reason::Superseded));
    assert_eq!(root.token().reason(), Some(Reason::Shutdown));
}

#[test]
fn siblings_do_not_cancel_each_other() {
    let root = Source::new();
    let (left, right) = (root.child(), root.child());
    assert!(left.cancel());
    assert!(!right.is_cancelled());
    assert!(!root.is_cancelled());
}

#[test]
fn the_place_is_the_line_of_the_call() {
    let token = Token::never();
    let hour = Duration::from_secs(3_600);
    let source = Source::new;
    let mut table: Vec<(u32, &str, Token)> = Vec::new();

    let s = source();
    table.push((line!(), "cancel", (s.cancel(), s.token()).1));
    let s = source();
    table.push((line!(), "cancel_with", (s.cancel_with("x"), s.token()).1));
    let s = source();
    s.cancel_after(Duration::ZERO);
    table.push((line!() - 1, "cancel_after", s.token()));
    let s = source();
    s.cancel_at(Instant::now());
    table.push((line!() - 1, "cancel_at", s.token()));
    let s = Source::with_timeout(Duration::ZERO);
    table.push((line!() - 1, "with_timeout", s.token()));
    let s = Source::with_deadline(Instant::now());
    table.push((line!() - 1, "with_deadline", s.token()));
    let s = token.child_with_timeout(Duration::ZERO);
    table.push((line!() - 1, "child_with_timeout", s.token()));
    let s = token.child_with_deadline(Instant::now());
    table.push((line!() - 1, "child_with_deadline", s.token()));
    let s = token.shielded_for(Duration::ZERO);
    table.push((line!() - 1, "shielded_for", s.token()));
    table.push((line!(), "cancelled_with", Token::cancelled_with("x")));
    let s = source();
    let guard = s.guard();
    let line = line!() - 1;
    drop(guard);
    table.push((line, "guard", s.token()));
    let s = source();
    let t = s.token();
    let guard = s.into_guard();
    let line = line!() - 1;
    drop(guard);
    table.push((line, "into_guard", t));
    // A call that fails to be the first leaves no trace.
    let s = source();
    table.push((line!(), "first of two", (s.cancel(), s.token()).1));
    s.cancel();
    s.cancel_after(hour);

    for (line, name, token) in table {
        let origin = cause_of(&token).origin();
        assert_eq!((origin.file(), origin.line()), (file!(), line), "{name}");
    }
}

#[cfg(feature = "testing")]
#[test]
fn the_place_of_a_deadline_is_where_it_was_armed_last() {
    let clock = desist::testing::ManualClock::new();
    let root = Source::with_clock(clock.clock());
    let second = Duration::from_secs(1);

    let child = root.token().child_with_timeout(second);
    let first_line = line!() - 1;
    let again = root.token().child_with_timeout(second * 5);
    again.cancel_after(second);
    let again_line = line!() - 1;
    let at = root.child();
    at.cancel_at(clock.now() + second);
    let at_line = line!() - 1;

    clock.advance(second);
    for (line, source) in [(first_line, &child), (again_line, &again), (at_line, &at)] {
        let cause = cause_of(&source.token());
        assert_eq!(cause.reason(), Reason::Deadline);
        assert_eq!((cause.origin().file(), cause.origin().line()), (file!(), line));
    }
}

#[test]
fn the_instant_is_that_of_the_call() {
    let source = Source::new();
    let child = source.child();
    let before = Instant::now();
    source.cancel();
    let after = Instant::now();
    let at = cause_of(&child.token()).at();
    assert!(before <= at && at <= after, "{before:?} {at:?} {after:?}");
}

#[test]
fn the_instant_of_a_guard_is_that_of_its_drop() {
    let source = Source::new();
    let guard = source.guard();
    let before = Instant::now();
    drop(guard);
    let cause = cause_of(&source.token());
    assert!(before <= cause.at());
    assert_eq!(cause.reason(), Reason::Dropped);
}

#[test]
fn linked_to_several_cancelled_parents_the_first_in_argument_order_counts() {
    let causes = [Reason::Shutdown, Reason::Requested, Reason::Deadline];
    let parents = causes.map(Token::cancelled_with);
    let live = Source::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut list: Vec<Token> = vec![Token::never(), live.token()];
        list.extend(order.iter().map(|index| parents[*index].clone()));
        let first = cause_of(&parents[order[0]]);

        let linked = Source::linked(&list);
        assert_same_cause(&first, &cause_of(&linked.token()));
        let any = Token::any(&list);
        assert_same_cause(&first, &cause_of(&any));

        // Wherever the live ones stand.
        list.rotate_left(2);
        assert_same_cause(&first, &cause_of(&Source::linked(&list).token()));
        assert_same_cause(&first, &cause_of(&Token::any(&list)));
    }
    assert!(!live.is_cancelled());
}

#[test]
fn the_argument_order_counts_and_not_the_order_in_time() {
    let (early, late) = (Source::new(), Source::new());
    early.cancel_with(Reason::Requested);
    late.cancel_with(Reason::Shutdown);
    let linked = Source::linked([late.token(), early.token()]);
    assert_eq!(linked.token().reason(), Some(Reason::Shutdown));
    let any = Token::any([early.token(), late.token()]);
    assert_eq!(any.reason(), Some(Reason::Requested));
}

#[test]
fn the_parent_that_is_cancelled_first_gives_the_cause_to_a_linked_child() {
    let parents: Vec<Source> = (0..4).map(|_| Source::new()).collect();
    let linked = Source::linked(parents.iter().map(Source::token));
    let any = Token::any(parents.iter().map(Source::token));
    let below = linked.child();

    assert!(parents[2].cancel_with("the third"));
    assert!(parents[0].cancel_with(Reason::Shutdown));

    let cause = cause_of(&parents[2].token());
    for token in [linked.token(), any, below.token()] {
        assert_same_cause(&cause, &cause_of(&token));
    }
    assert!(!parents[1].is_cancelled() && !parents[3].is_cancelled());
}

#[test]
fn linking_over_several_steps_to_a_cancelled_token_is_born_cancelled() {
    let (source, other) = (Source::new(), Source::new());
    source.cancel_with(Reason::Disconnected);
    let first = Source::linked([other.token(), source.token()]);
    let second = Source::linked([first.token(), other.token()]);
    let third = Token::any([&Token::never(), &second.token()]);
    let cause = cause_of(&source.token());
    assert_same_cause(&cause, &cause_of(&second.token()));
    assert_same_cause(&cause, &cause_of(&third));
}

#[test]
fn cancelling_a_linked_child_leaves_its_parents_alone() {
    let parents = [Source::new(), Source::new()];
    let linked = Source::linked(parents.each_ref().map(Source::token));
    assert!(linked.cancel());
    assert!(parents.iter().all(|parent| !parent.is_cancelled()));
    assert!(parents.iter().all(Source::cancel));
    assert_eq!(linked.token().reason(), Some(Reason::Requested));
}

#[test]
fn all_ways_of_asking_agree() {
    let source = Source::new();
    let token = source.token();
    assert!(!token.is_cancelled() && !source.is_cancelled());
    assert!(token.check().is_ok());
    assert!(token.cancellation().is_none());
    assert_eq!(token.reason(), None);

    source.cancel_with(Reason::Disconnected);
    assert!(token.is_cancelled() && source.is_cancelled());
    assert_eq!(token.reason(), Some(Reason::Disconnected));
    let error: Cancelled = token.check().expect_err("it is cancelled");
    assert_same_cause(&error, &cause_of(&token));
    assert_same_cause(&error, &cause_of(&source.token()));
}

#[test]
fn never_stays_live_and_cancelled_with_is_cancelled_from_the_start() {
    let never = Token::never();
    assert!(!never.is_cancelled());
    assert!(never.check().is_ok());
    assert!(never.blocking_wait_timeout(Duration::ZERO).is_none());

    let token = Token::cancelled_with(Cause::new(Reason::Other).message("from the start"));
    assert!(token.is_cancelled());
    assert_eq!(token.reason(), Some(Reason::Other));
    assert_eq!(detail_text(&cause_of(&token)).as_deref(), Some("from the start"));
}

#[test]
#[cfg(feature = "testing")]
fn the_instant_is_one_of_the_signals_own_clock() {
    let clock = desist::testing::ManualClock::new();
    clock.advance(Duration::from_secs(3_600));
    let source = Source::with_clock(clock.clock());
    let child = source.child();
    child.cancel();
    assert_eq!(cause_of(&child.token()).at(), clock.now());
    clock.advance(Duration::from_secs(1));
    source.cancel();
    assert_eq!(cause_of(&source.token()).at(), clock.now());
}
