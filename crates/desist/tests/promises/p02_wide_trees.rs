//! Promise 2 where a marking takes long: whoever comes second comes in the middle of it.

use std::hint;
use std::thread;

use desist::Source;

/// So many children that marking them takes far longer than a call.
const CHILDREN: usize = 100_000;
/// How often it must have come in the middle, and how often it may try: on a busy machine the
/// other thread is sometimes done before this one has its turn.
const MET: usize = 3;
const TRIES: usize = 1_000;

fn until_met(mut round: impl FnMut() -> bool) {
    let met = (0..TRIES).filter(|_| round()).take(MET).count();
    assert_eq!(met, MET, "never came in the middle");
}

/// Cancels `first` on another thread; as soon as `seen` is marked, and so long before the rest,
/// calls `then` here, and asks whether the child that is marked last was marked when it returned.
fn meets(first: &Source, seen: &Source, children: &[Source], then: impl Fn()) -> bool {
    thread::scope(|scope| {
        scope.spawn(|| first.cancel());
        while !seen.is_cancelled() {
            hint::spin_loop();
        }
        // The newest is marked first, so the oldest tells whether the marking is under way.
        let in_the_middle = !children[0].is_cancelled();
        then();
        assert!(children[0].is_cancelled(), "live after a cancel that met its marking");
        in_the_middle
    })
}

#[test]
fn a_loser_returns_when_the_winner_has_marked_all() {
    until_met(|| {
        let root = Source::new();
        let children: Vec<_> = (0..CHILDREN).map(|_| root.child()).collect();
        meets(&root, &root, &children, || assert!(!root.cancel()))
    });
}

#[test]
fn a_cancel_that_meets_another_returns_when_that_one_has_marked_all() {
    until_met(|| {
        let (first, second) = (Source::new(), Source::new());
        let middle = Source::linked([first.token(), second.token()]);
        let children: Vec<_> = (0..CHILDREN).map(|_| middle.child()).collect();
        meets(&first, &middle, &children, || assert!(second.cancel()))
    });
}

#[test]
fn a_cancel_that_meets_one_that_met_another_waits_for_both() {
    until_met(|| {
        let (first, second, third) = (Source::new(), Source::new(), Source::new());
        let low = Source::linked([first.token(), second.token()]);
        let high = Source::linked([second.token(), third.token()]);
        // Three threads may have to share two processors meanwhile.
        let children: Vec<_> = (0..10 * CHILDREN).map(|_| low.child()).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !low.is_cancelled() {
                    thread::yield_now();
                }
                second.cancel();
            });
            scope.spawn(|| first.cancel());
            while !high.is_cancelled() {
                thread::yield_now();
            }
            let in_the_middle = !children[0].is_cancelled();
            assert!(third.cancel());
            assert!(children[0].is_cancelled(), "live after a cancel that met its marking");
            in_the_middle
        })
    });
}

#[test]
fn a_callback_that_is_registered_in_the_middle_of_a_marking_finds_nobody_live() {
    until_met(|| {
        let root = Source::new();
        let children: Vec<_> = (0..CHILDREN).map(|_| root.child()).collect();
        let oldest = children[0].token();
        meets(&root, &root, &children, || {
            let oldest = oldest.clone();
            root.token().on_cancel(move |_| assert!(oldest.is_cancelled())).detach();
        })
    });
}
