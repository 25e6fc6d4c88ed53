//! Lists of parents: empty, endless, with repetitions, and cancelled meanwhile.

use std::time::Duration;

use desist::{Reason, Source, Token};

use crate::common::race::{Side, race};
use crate::common::{Captured, Count, assert_same_cause, cause_of, panic_of};

#[test]
fn no_parents_at_all_give_a_plain_source() {
    let source = Source::linked::<Token>([]);
    let token = source.token();
    assert!(!token.is_cancelled() && token.can_be_cancelled());
    assert_eq!(token.deadline(), None);
    let child = source.child();
    source.cancel_after(Duration::ZERO);
    assert_eq!(child.token().reason(), Some(Reason::Deadline));
    let dropped = Source::linked::<&Token>([]).token();
    assert!(!dropped.can_be_cancelled());
}

#[test]
fn parents_that_can_never_be_cancelled_give_a_plain_source() {
    let dead = Source::new().token();
    let source = Source::linked([Token::never(), dead, Token::default()]);
    let token = source.token();
    assert!(token.can_be_cancelled());
    assert!(source.cancel());
    assert!(token.is_cancelled());
    let token = Source::linked([Token::never(), Token::never()]).token();
    assert!(!token.can_be_cancelled());
}

#[test]
fn a_thousand_parents_any_of_which_cancels() {
    let parents: Vec<Source> = (0..1_000).map(|_| Source::new()).collect();
    for which in [0, 1, 499, 998, 999] {
        let parents: Vec<Source> =
            if which == 0 { parents.clone() } else { (0..1_000).map(|_| Source::new()).collect() };
        let linked = Source::linked(parents.iter().map(Source::token));
        let any = Token::any(parents.iter().map(Source::token));
        assert!(!linked.is_cancelled() && any.can_be_cancelled());
        parents[which].cancel_with("one of a thousand");
        let cause = cause_of(&parents[which].token());
        assert_same_cause(&cause, &cause_of(&linked.token()));
        assert_same_cause(&cause, &cause_of(&any));
        assert!((0..1_000).all(|other| other == which || !parents[other].is_cancelled()));
    }
}

#[test]
fn a_thousand_parents_leave_nothing_behind() {
    let captured = Captured::new();
    let parents: Vec<Source> = (0..1_000).map(|_| Source::new()).collect();
    for parent in &parents {
        let handle = captured.handle();
        parent.token().on_cancel(move |_| drop(handle)).detach();
    }
    let linked = Source::linked(parents.iter().map(Source::token));
    drop(parents);
    assert!(!linked.token().can_be_cancelled() || linked.cancel());
    drop(linked);
    assert_eq!(captured.held(), 0);
}

#[test]
fn the_same_parent_twice_is_the_same_parent() {
    let (parent, other) = (Source::new(), Source::new());
    let token = parent.token();
    let linked = Source::linked([&token, &token, &other.token(), &token]);
    let called = Count::new();
    let count = called.clone();
    let _held = linked.token().on_cancel(move |_| count.add());
    assert!(parent.cancel_with("once"));
    assert_eq!(called.get(), 1);
    assert_same_cause(&cause_of(&token), &cause_of(&linked.token()));

    let (parent, child) = {
        let parent = Source::new();
        let token = parent.token();
        (parent, Source::linked(vec![token; 100]))
    };
    drop(child);
    assert!(parent.cancel());
}

#[test]
fn a_parent_and_its_own_ancestor_may_both_be_parents() {
    let root = Source::new();
    let middle = root.child();
    let linked = Source::linked([root.token(), middle.token(), root.token()]);
    let called = Count::new();
    let count = called.clone();
    let _held = linked.token().on_cancel(move |_| count.add());
    assert!(root.cancel());
    assert_eq!(called.get(), 1);

    let root = Source::new();
    let middle = root.child();
    let linked = Source::linked([root.token(), middle.token()]);
    assert!(middle.cancel_with(Reason::Superseded));
    assert_eq!(linked.token().reason(), Some(Reason::Superseded));
    assert!(!root.is_cancelled());
}

#[test]
fn a_parent_that_is_cancelled_while_it_is_linked_is_not_missed() {
    race(
        || [Source::new(), Source::new(), Source::new()],
        |parents| parents[1].cancel_with("meanwhile"),
        |parents| {
            let linked = Source::linked(parents.iter().map(Source::token));
            let born = linked.is_cancelled();
            (linked, born)
        },
        |parents, won, (linked, born)| {
            assert!(won && linked.is_cancelled());
            assert_same_cause(&cause_of(&parents[1].token()), &cause_of(&linked.token()));
            Side::left_if(born)
        },
    );
}

#[test]
fn two_parents_that_are_cancelled_while_they_are_linked_give_one_cause() {
    race(
        || [Source::new(), Source::new()],
        |parents| {
            parents[0].cancel_with("first");
            parents[1].cancel_with("second");
        },
        |parents| {
            // Against the order in which they are cancelled.
            let linked = Source::linked([parents[1].token(), parents[0].token()]);
            let any = Token::any([parents[1].token(), parents[0].token()]);
            (linked.is_cancelled(), linked.token(), any)
        },
        |parents, (), (born, linked, any)| {
            for token in [linked, any] {
                let cause = cause_of(&token);
                let own = parents.each_ref().map(|parent| cause_of(&parent.token()));
                assert!(own.iter().any(|parent| parent.at() == cause.at()));
            }
            Side::left_if(born)
        },
    );
}

#[test]
fn parents_that_are_dropped_while_they_are_linked() {
    race(
        || {
            let parent = Source::new();
            let token = parent.token();
            (std::sync::Mutex::new(Some(parent)), token)
        },
        |(parent, _)| drop(crate::common::lock(parent).take()),
        |(_, token)| {
            let linked = Source::linked([token.clone(), Token::never()]).token();
            let any = Token::any([token, &Source::new().token()]);
            (linked.can_be_cancelled(), linked, any)
        },
        |_, (), (alive, linked, any)| {
            assert!(!linked.can_be_cancelled() && !any.can_be_cancelled());
            Side::left_if(!alive)
        },
    );
}

#[test]
fn an_iterator_that_uses_the_signal_while_it_gives_the_parents() {
    let root = Source::new();
    let linked = Source::linked((0..10).map(|n| {
        let child = root.child();
        if n == 5 {
            root.cancel_with("from the iterator");
        }
        child.token()
    }));
    assert!(linked.is_cancelled());
    let any = Token::any((0..3).map(|_| Source::linked([root.token()]).token()));
    assert!(any.is_cancelled());
}

#[test]
fn an_iterator_that_panics_leaves_the_parents_as_they_were() {
    let captured = Captured::new();
    let parent = Source::new();
    let handle = captured.handle();
    parent.token().on_cancel(move |_| drop(handle)).detach();
    for _ in 0..10 {
        let text = panic_of(|| {
            Source::linked((0..10).map(|n| {
                if n == 5 {
                    crate::common::panics::planned("in the iterator");
                }
                parent.token()
            }))
        });
        assert_eq!(text, "planned: in the iterator");
    }
    drop(parent);
    assert_eq!(captured.held(), 0);
}
