//! The heap: at the end of a round there is nothing on it that was not before.

use std::fs;
use std::thread;
use std::time::Duration;

use desist::Source;
use peak_alloc::PeakAlloc;

use crate::report::ensure;
use crate::tally::{FORGOTTEN_BYTES, HEAP_CHECKS};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What each thread of the system clock's keeper may hold.
const PER_KEEPER: usize = 2048;
/// How long the keeper's threads may take to go, once nothing is armed: ten
/// seconds each, one after the other.
const KEEPERS_GO_IN: Duration = Duration::from_secs(25);
/// The name of the threads that keep the system clock.
const KEEPER: &str = "desist-time";

/// What there was at the start.
pub(crate) struct Heap {
    start: usize,
}

impl Heap {
    /// To be called when all that lives to the end of the process is there.
    pub(crate) fn at_start() -> Self {
        Self { start: HEAP.current_usage() }
    }

    fn more_than_at_start(&self) -> i128 {
        let wanted = self.start as i128 + i128::from(FORGOTTEN_BYTES.get());
        HEAP.current_usage() as i128 - wanted
    }

    /// After a round: nothing is left but what the keeper's threads hold.
    pub(crate) fn check_after_round(&self) {
        HEAP_CHECKS.add();
        for _ in 0..200 {
            if self.more_than_at_start() <= (keepers() * PER_KEEPER) as i128 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let (more, keepers) = (self.more_than_at_start(), keepers());
        ensure!(
            more <= (keepers * PER_KEEPER) as i128,
            "{more} bytes more on the heap than at the start, {keepers} threads keep time"
        );
    }

    /// Waits until nobody keeps time any more: then not a byte may be left.
    pub(crate) fn check_to_the_byte(&self) {
        HEAP_CHECKS.add();
        let gone = keepers_go();
        let (more, keepers) = (self.more_than_at_start(), keepers());
        ensure!(
            gone,
            "{keepers} threads that keep time are still there after {KEEPERS_GO_IN:?}, {more} \
             bytes more on the heap than at the start"
        );
        ensure!(more == 0, "{more} bytes more on the heap than at the start, nobody keeps time");
    }
}

/// Waits until no thread keeps the system clock; false if they stay.
fn keepers_go() -> bool {
    // Whoever keeps it sleeps until the next deadline that it knows of, which
    // may have been taken back long ago: here is an earlier one, to look at.
    Source::with_timeout(Duration::from_millis(1)).token().blocking_wait();
    let step = Duration::from_millis(20);
    let steps = KEEPERS_GO_IN.as_millis() / step.as_millis();
    (0..steps).any(|_| {
        thread::sleep(step);
        keepers() == 0
    })
}

/// How many threads keep the system clock, or fire what has come.
pub(crate) fn keepers() -> usize {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let names =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == KEEPER).count()
}

pub(crate) fn peak_kib() -> usize {
    HEAP.peak_usage() / 1024
}

/// The live bytes of the process.
pub(crate) fn live() -> usize {
    HEAP.current_usage()
}
