//! The rows, one file for each kind of work.

mod callbacks;
mod chain;
mod check;
mod children;
mod copying;
pub(crate) mod during;
mod fanout;
pub(crate) mod growth;
mod handles;
mod limits;
pub(crate) mod memory;
mod run;
mod stall;
mod tasks;
mod timeouts;
mod waits;
mod wake;

use crate::measure::Row;

pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [
        limits::ROWS,
        check::ROWS,
        handles::ROWS,
        children::ROWS,
        waits::ROWS,
        callbacks::ROWS,
        fanout::ROWS,
        wake::ROWS,
        chain::ROWS,
        timeouts::ROWS,
        run::ROWS,
        stall::ROWS,
        tasks::ROWS,
        copying::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// Same numbers in every run: what is shuffled is shuffled alike for all.
struct Shuffle(u64);

impl Shuffle {
    fn new() -> Self {
        Self(88_172_645_463_325_252)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[inline(never)]
fn allocate_and_free(bytes: usize, times: u64) {
    for _ in 0..times {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
    }
}
