//! Random operations against a naive model: exactly in one thread, and by its invariants in several.
#![cfg(feature = "testing")]

mod common;

#[path = "model/operations.rs"]
mod operations;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/shared.rs"]
mod shared;
#[path = "model/strategy.rs"]
mod strategy;
#[path = "model/stress.rs"]
mod stress;
#[path = "model/world.rs"]
mod world;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 600 },
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_operations_does_what_the_model_says(
        steps in proptest::collection::vec(strategy::step(), 1..90),
    ) {
        let mut world = world::World::new();
        for (by, operation) in &steps {
            world.apply(*by, operation);
            world.compare();
        }
        world.end();
    }
}
