//! Long chains, of which only an end is held.

use desist::{Source, Token};

use crate::common::race::Random;
use crate::common::{MILLION, on_small_stack};
use crate::heap::leaves_nothing;

fn ends(length: usize) -> (Source, Source) {
    let root = Source::new();
    let leaf = (1..length).fold(root.clone(), |above, _| above.child());
    (root, leaf)
}

#[test]
fn only_the_leaf_is_kept_and_then_cancelled() {
    leaves_nothing(|| {
        on_small_stack(|| {
            let (root, leaf) = ends(MILLION);
            drop(root);
            assert!(leaf.cancel());
        });
    });
}

#[test]
fn only_the_leaf_is_kept_and_then_dropped() {
    leaves_nothing(|| {
        on_small_stack(|| {
            let (root, leaf) = ends(MILLION);
            drop(root);
            drop(leaf);
        });
    });
}

#[test]
fn the_root_is_cancelled_and_the_leaf_dropped_after_it() {
    leaves_nothing(|| {
        on_small_stack(|| {
            let (root, leaf) = ends(MILLION);
            assert!(root.cancel_with("the whole chain"));
            drop(root);
            assert!(leaf.is_cancelled());
        });
    });
}

#[test]
fn all_are_kept_and_dropped_in_any_order() {
    leaves_nothing(|| {
        on_small_stack(|| {
            let length = MILLION / 2;
            let mut chain = vec![Source::new()];
            for index in 1..length {
                let next = chain[index - 1].child();
                chain.push(next);
            }
            Random::new().shuffle(&mut chain);
            let rest = chain.split_off(length / 2);
            drop(chain);
            assert!(rest[0].cancel());
        });
    });
}

#[test]
fn a_cancelled_leaf_that_is_held_keeps_nothing_of_the_chain_above() {
    let mut held: Vec<Token> = Vec::with_capacity(16);
    leaves_nothing(|| {
        held.clear();
        let (root, leaf) = ends(10_000);
        drop(root);
        assert!(leaf.cancel());
        // Held until the next attempt, which drops it: as much as there was before.
        held.push(leaf.token());
    });
    held.clear();
}
