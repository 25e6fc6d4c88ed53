//! Promise 9: nothing leaks by forgetting. (The bytes are counted in another test binary.)

use std::time::Duration;

use desist::{Cause, Reason, Registration, Source, Token};

use crate::common::{Captured, Count, DetailOnDrop, block_on, poll_once};

fn holding(token: &Token, captured: &Captured) -> Registration {
    let handle = captured.handle();
    token.on_cancel(move |_| drop(handle))
}

#[test]
fn a_dropped_registration_holds_nothing_of_its_callback() {
    let source = Source::new();
    let captured = Captured::new();
    let registration = holding(&source.token(), &captured);
    assert_eq!(captured.held(), 1);
    drop(registration);
    assert_eq!(captured.held(), 0);
}

#[test]
fn an_unregistered_callback_is_dropped_at_once() {
    let source = Source::new();
    let captured = Captured::new();
    assert!(holding(&source.token(), &captured).unregister());
    assert_eq!(captured.held(), 0);
    assert!(holding(&source.token(), &captured).blocking_unregister());
    assert_eq!(captured.held(), 0);
    assert!(block_on(holding(&source.token(), &captured).unregistered()));
    assert_eq!(captured.held(), 0);
    drop(holding(&source.token(), &captured).unregistered());
    assert_eq!(captured.held(), 0);
}

#[test]
fn a_callback_is_dropped_when_it_has_run() {
    let source = Source::new();
    let captured = Captured::new();
    let held = holding(&source.token(), &captured);
    holding(&source.token(), &captured).detach();
    source.cancel();
    assert_eq!(captured.held(), 0);
    drop(held);
}

#[test]
fn a_detached_callback_is_dropped_with_its_tree() {
    let captured = Captured::new();
    let source = Source::new();
    let token = source.token();
    holding(&token, &captured).detach();
    drop(source);
    drop(token);
    assert_eq!(captured.held(), 0);
}

#[test]
fn a_dropped_child_takes_its_callbacks_out_of_its_parents_at_once() {
    let (parent, other) = (Source::new(), Source::new());
    let captured = Captured::new();
    let called = Count::new();
    let child = Source::linked([parent.token(), other.token()]);
    let count = called.clone();
    child.token().on_cancel(move |_| count.add()).detach();
    holding(&child.token(), &captured).detach();
    drop(child);
    assert_eq!(captured.held(), 0, "before the parent is cancelled");
    parent.cancel();
    assert_eq!(called.get(), 0);
}

#[test]
fn a_child_made_and_dropped_in_between_leaves_its_siblings_in_place() {
    let parent = Source::new();
    let mut children: Vec<Option<Source>> = (0..1_000).map(|_| Some(parent.child())).collect();
    for index in (0..1_000).filter(|index| index % 3 != 0) {
        children[index] = None;
    }
    parent.cancel();
    assert!(children.iter().flatten().all(Source::is_cancelled));
}

#[test]
fn a_dropped_wait_lets_go_of_its_waker() {
    let source = Source::new();
    let captured = Captured::new();
    let handle = captured.handle();
    let waker = crate::common::wakers::on_wake(move || {
        let _ = &handle;
    });
    let mut wait = Box::pin(source.token().cancelled_owned());
    assert!(crate::common::poll_with(wait.as_mut(), &waker).is_pending());
    drop(waker);
    assert_eq!(captured.held(), 1, "kept by the pending wait");
    drop(wait);
    assert_eq!(captured.held(), 0);
}

#[test]
fn a_woken_wait_lets_go_of_its_waker() {
    let source = Source::new();
    let captured = Captured::new();
    let handle = captured.handle();
    let waker = crate::common::wakers::on_wake(move || {
        let _ = &handle;
    });
    let mut wait = Box::pin(source.token().cancelled_owned());
    assert!(crate::common::poll_with(wait.as_mut(), &waker).is_pending());
    drop(waker);
    source.cancel();
    assert_eq!(captured.held(), 0);
    assert!(poll_once(wait.as_mut()).is_ready());
}

#[test]
fn the_links_of_a_cancelled_child_are_gone() {
    // The child is cancelled and held; its parent has no other handle.
    let captured = Captured::new();
    let parent = Source::new();
    holding(&parent.token(), &captured).detach();
    let child = parent.child();
    child.cancel();
    drop(parent);
    assert_eq!(captured.held(), 0, "a cancelled child does not keep its parent");
    assert!(child.is_cancelled());
}

#[test]
fn a_child_that_is_cancelled_lets_its_forgotten_parents_go() {
    let captured = [Captured::new(), Captured::new()];
    let parents = [Source::new(), Source::new()];
    for (parent, captured) in parents.iter().zip(&captured) {
        holding(&parent.token(), captured).detach();
    }
    let child = Source::linked(parents.each_ref().map(Source::token));
    drop(parents);
    child.cancel();
    assert_eq!((captured[0].held(), captured[1].held()), (0, 0));
    drop(child);
}

/// Also one that has children of its own, and nobody to wake.
#[test]
fn a_middle_of_two_parents_that_one_cancels_lets_the_other_go() {
    let captured = Captured::new();
    let (cancelled, live) = (Source::new(), Source::new());
    holding(&live.token(), &captured).detach();
    let middle = Source::linked([cancelled.token(), live.token()]);
    let below = middle.child();
    drop(live);
    assert_eq!(captured.held(), 1, "it is kept by who is below it");
    cancelled.cancel();
    assert_eq!(captured.held(), 0, "a cancelled child does not keep its parent");
    assert!(middle.is_cancelled() && below.is_cancelled());
}

#[test]
fn a_held_child_of_a_cancelled_tree_holds_only_the_cause() {
    let dropped = Count::new();
    let count = dropped.clone();
    let root = Source::new();
    let middle = root.child();
    let leaf = middle.child();
    let captured = Captured::new();
    holding(&root.token(), &captured).detach();
    holding(&middle.token(), &captured).detach();
    let detail = DetailOnDrop(move || count.add());
    root.cancel_with(Cause::new(Reason::Other).detail(detail));
    assert_eq!(captured.held(), 0);
    drop((root, middle));
    assert_eq!(dropped.get(), 0, "the leaf still reports it");
    let cause = leaf.token().cancellation();
    drop(leaf);
    assert_eq!(dropped.get(), 0, "an error still holds it");
    drop(cause);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_callback_that_captured_its_own_tree_is_freed_by_the_signal() {
    let captured = Captured::new();
    let source = Source::new();
    let (token, handle) = (source.token(), captured.handle());
    source.token().on_cancel(move |_| drop((token, handle))).detach();
    source.cancel();
    assert_eq!(captured.held(), 0);
}

#[test]
fn a_registration_that_captured_its_own_tree_is_freed_when_it_is_dropped() {
    let captured = Captured::new();
    let source = Source::new();
    let (token, handle) = (source.token(), captured.handle());
    let held = source.token().on_cancel(move |_| drop((token, handle)));
    drop(source);
    assert_eq!(captured.held(), 1);
    drop(held);
    assert_eq!(captured.held(), 0);
}

#[test]
fn a_parent_outlives_its_handles_only_as_long_as_a_live_child_needs_it() {
    let root = Source::new();
    let captured = Captured::new();
    let middle = root.child();
    holding(&middle.token(), &captured).detach();
    let leaf = middle.child();
    drop(middle);
    // Through the middle the root still reaches the leaf.
    let probe = root.child();
    assert!(leaf.token().can_be_cancelled());
    drop(leaf);
    assert_eq!(captured.held(), 0, "nobody needs the middle any more");
    root.cancel();
    assert!(probe.is_cancelled());
}

#[test]
fn a_forgotten_middle_still_passes_the_signal_on() {
    let root = Source::new();
    let leaf = root.child().child().child().token();
    assert!(leaf.can_be_cancelled());
    root.cancel_with(Reason::Shutdown);
    assert_eq!(leaf.reason(), Some(Reason::Shutdown));
}

#[test]
fn an_armed_deadline_that_nobody_can_see_keeps_nothing() {
    let captured = Captured::new();
    let source = Source::with_timeout(Duration::from_secs(3_600));
    holding(&source.token(), &captured).detach();
    drop(source);
    assert_eq!(captured.held(), 0);
}

#[test]
fn any_and_linked_let_go_of_their_parents_in_any_order() {
    for order in 0..4 {
        let captured = Captured::new();
        let parents = [Source::new(), Source::new()];
        for parent in &parents {
            holding(&parent.token(), &captured).detach();
        }
        let any = Token::any(parents.each_ref().map(Source::token));
        let linked = Source::linked([any.clone(), parents[1].token()]);
        holding(&any, &captured).detach();
        let [left, right] = parents;
        match order {
            0 => drop((left, right, any, linked)),
            1 => drop((linked, any, right, left)),
            2 => drop((any, left, linked, right)),
            _ => drop((left, linked, right, any)),
        }
        assert_eq!(captured.held(), 0, "order {order}");
    }
}

#[test]
#[cfg(feature = "testing")]
fn a_deadline_that_cancels_a_forgotten_child_takes_it_out_of_its_parent() {
    let clock = desist::testing::ManualClock::new();
    let captured = Captured::new();
    let parent = Source::with_clock(clock.clock());
    holding(&parent.token(), &captured).detach();
    let child = parent.token().child_with_timeout(Duration::from_secs(1));
    let held = child.token().on_cancel(|_| {});
    drop(child);
    clock.advance(Duration::from_secs(1));
    drop(parent);
    assert_eq!(
        captured.held(),
        0,
        "a registration below, of what is cancelled, needs nobody above"
    );
    drop(held);
}
