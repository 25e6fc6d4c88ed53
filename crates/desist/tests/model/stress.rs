//! The same signals from several threads at once: what must hold in whatever order.

use crate::common::no_deadlock;
use crate::common::race::Random;
use crate::shared;

#[test]
fn any_operations_on_several_threads_keep_the_invariants() {
    no_deadlock(|| {
        let mut random = Random::new();
        for _ in 0..if cfg!(miri) { 2 } else { 250 } {
            let mut program =
                || (0..60).map(|_| (random.next() >> 16) as u32).map(u32::to_le_bytes).collect();
            shared::run(&[program(), program(), program()]);
        }
    });
}
