//! Promise 10: a chain of a million tokens lives and dies on a stack of 128 KiB.

use std::pin::pin;
use std::time::Duration;

use desist::{Reason, Source, Token};

use crate::common::race::Random;
use crate::common::wakers::counting;
use crate::common::{Count, MILLION, assert_same_cause, cause_of, on_small_stack, poll_with};

/// The root, the leaf and nothing in between: the chain holds itself.
fn ends(length: usize) -> (Source, Source) {
    let root = Source::new();
    let leaf = (1..length).fold(root.clone(), |above, _| above.child());
    (root, leaf)
}

/// Every link of the chain.
fn links(length: usize) -> Vec<Source> {
    let mut chain = Vec::with_capacity(length);
    chain.push(Source::new());
    for index in 1..length {
        let next = chain[index - 1].child();
        chain.push(next);
    }
    chain
}

#[test]
fn a_chain_is_cancelled_at_its_root() {
    on_small_stack(|| {
        let (root, leaf) = ends(MILLION);
        assert!(!leaf.is_cancelled());
        assert!(root.cancel_with(Reason::Shutdown));
        assert!(leaf.is_cancelled());
        assert_same_cause(&cause_of(&root.token()), &cause_of(&leaf.token()));
    });
}

#[test]
fn a_chain_is_asked_whether_it_can_be_cancelled_and_for_its_deadline() {
    on_small_stack(|| {
        let (root, leaf) = ends(MILLION);
        let leaf = {
            let token = leaf.token();
            drop(leaf);
            token
        };
        assert!(leaf.can_be_cancelled());
        assert_eq!(leaf.deadline(), None);
        root.cancel_after(Duration::from_secs(3_600));
        assert!(leaf.deadline().is_some());
        assert!(leaf.remaining().is_some());
        root.disarm();
        assert_eq!(leaf.deadline(), None);
        drop(root);
        assert!(!leaf.can_be_cancelled());
        assert_eq!(Token::any([&leaf]), Token::never());
    });
}

#[test]
fn a_chain_is_dropped_from_its_root() {
    on_small_stack(|| drop(links(MILLION)));
}

#[test]
fn a_chain_is_dropped_from_its_leaf() {
    on_small_stack(|| {
        let mut chain = links(MILLION);
        while chain.pop().is_some() {}
    });
}

#[test]
fn a_chain_is_dropped_in_any_order() {
    on_small_stack(|| {
        let mut chain = links(MILLION);
        Random::new().shuffle(&mut chain);
        drop(chain);
    });
}

#[test]
fn a_chain_of_which_only_the_leaf_is_held_is_dropped_with_it() {
    on_small_stack(|| {
        let (root, leaf) = ends(MILLION);
        drop(root);
        drop(leaf);
    });
}

#[test]
fn a_chain_of_which_only_the_leaf_is_held_is_dropped_when_the_leaf_is_cancelled() {
    on_small_stack(|| {
        let (root, leaf) = ends(MILLION);
        drop(root);
        assert!(leaf.cancel());
        drop(leaf);
    });
}

#[test]
fn a_chain_is_dropped_after_it_was_cancelled() {
    on_small_stack(|| {
        let mut chain = links(MILLION);
        assert!(chain[0].cancel());
        assert!(chain.iter().all(Source::is_cancelled));
        Random::new().shuffle(&mut chain);
        drop(chain);
    });
}

#[test]
fn a_chain_is_cancelled_from_its_leaf_upwards() {
    on_small_stack(|| {
        let chain = links(MILLION);
        assert!(chain.iter().rev().all(Source::cancel));
    });
}

#[test]
fn a_chain_is_cancelled_in_the_middle_and_then_at_its_root() {
    on_small_stack(|| {
        let chain = links(MILLION);
        assert!(chain[MILLION / 2].cancel());
        assert!(!chain[MILLION / 2 - 1].is_cancelled());
        assert!(chain[0].cancel_with(Reason::Shutdown));
        assert!(chain.iter().all(Source::is_cancelled));
        assert_eq!(chain[MILLION - 1].token().reason(), Some(Reason::Requested));
    });
}

#[test]
fn a_chain_with_a_callback_and_a_waiter_at_every_link_is_cancelled() {
    on_small_stack(|| {
        let length = MILLION / 4;
        let chain = links(length);
        let called = Count::new();
        let (wakes, waker) = counting();
        let mut waits = Vec::with_capacity(length);
        for link in &chain {
            let (count, level) = (called.clone(), waits.len());
            let last = length - 1;
            link.token()
                .on_cancel(move |_| assert_eq!(count.next(), last - level, "the order of calls"))
                .detach();
            let mut wait = Box::pin(link.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            waits.push(wait);
        }
        assert!(chain[0].cancel());
        assert_eq!((called.get(), wakes.get()), (length, length));
    });
}

#[test]
fn a_chain_with_two_parents_at_every_link_lives_and_dies() {
    on_small_stack(|| {
        let side = Source::new();
        let root = Source::new();
        let leaf = (0..MILLION / 2)
            .fold(root.clone(), |above, _| Source::linked([above.token(), side.token()]));
        let token = leaf.token();
        drop(leaf);
        assert!(token.can_be_cancelled());
        assert!(side.cancel_with("from the side"));
        assert!(token.is_cancelled());
        assert!(!root.is_cancelled());
        drop((root, side, token));
    });
}

#[test]
fn a_ladder_with_doubling_paths_is_walked_once_per_link() {
    // Each rung has both of the rung above as its parents: 2^n paths, 2n tokens.
    on_small_stack(|| {
        let root = Source::new();
        let mut rung = [root.child(), root.child()];
        for _ in 0..2_000 {
            let parents = rung.each_ref().map(Source::token);
            rung = [Source::linked(&parents), Source::linked(&parents)];
        }
        let tokens = rung.each_ref().map(Source::token);
        drop(rung);
        assert!(tokens[0].can_be_cancelled());
        assert_eq!(tokens[1].deadline(), None);
        let any = Token::any(&tokens);
        root.cancel_after(Duration::from_secs(3_600));
        assert!(any.remaining().is_some());
        assert!(root.cancel());
        assert!(any.is_cancelled() && tokens.iter().all(Token::is_cancelled));
    });
}

#[test]
fn a_chain_where_many_ways_meet_is_asked_once_per_link() {
    // Ways times links would not end here.
    on_small_stack(|| {
        let ways = if cfg!(miri) { 8 } else { 20_000 };
        let (root, middle) = ends(MILLION / 10);
        let parents: Vec<Source> = (0..ways).map(|_| middle.child()).collect();
        let below = Source::linked(parents.iter().map(Source::token)).token();
        assert_eq!(below.deadline(), None);
        root.cancel_after(Duration::from_secs(3_600));
        assert!(below.deadline().is_some());
    });
}

#[test]
fn a_star_of_a_million_children_is_cancelled_and_dropped() {
    on_small_stack(|| {
        let root = Source::new();
        let children: Vec<Token> = (0..MILLION).map(|_| root.child().token()).collect();
        assert!(root.cancel());
        assert!(children.iter().all(Token::is_cancelled));
        drop(root);
        drop(children);
    });
}

#[test]
fn a_pending_wait_at_the_end_of_a_chain_is_woken() {
    on_small_stack(|| {
        let (root, leaf) = ends(MILLION);
        let token = leaf.token();
        drop(leaf);
        let mut wait = pin!(token.cancelled());
        let (wakes, waker) = counting();
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        assert!(root.cancel());
        assert_eq!(wakes.get(), 1);
    });
}
