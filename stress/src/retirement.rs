//! The thread that keeps the system clock goes when nothing was armed for ten
//! seconds. Whoever arms in that very moment must not be forgotten.

use std::thread;
use std::time::{Duration, Instant};

use desist::Source;

use crate::random::Random;
use crate::storm::fires;
use crate::sync::Barrier;
use crate::tally::{RETIREMENTS, THREADS};
use crate::watchdog::Seat;
use crate::worker::WAIT_FOR_DEADLINES;

/// How long the keeper stays without anything armed.
const IDLE: Duration = Duration::from_secs(10);

/// Waits until the keeper is about to go, and arms from several threads right
/// then, for a while.
pub(crate) fn race(random: &mut Random, threads: usize, seat: &Seat) {
    seat.doing(WAIT_FOR_DEADLINES);
    let last = Source::with_timeout(Duration::from_millis(1)).token();
    fires(&last, "armed before the keeper retires");
    // From here on nothing is armed. The keeper looks once more, then counts.
    let begins = Instant::now();
    while begins.elapsed() < IDLE - Duration::from_millis(50) {
        seat.doing(WAIT_FOR_DEADLINES);
        thread::sleep(Duration::from_millis(20));
    }
    let (together, slow) = (Barrier::new(threads), random.one_in(2));
    thread::scope(|scope| {
        for _ in 0..threads {
            let (mut random, together) = (random.fork(), &together);
            THREADS.add();
            scope.spawn(move || burst(&mut random, together, begins, slow));
        }
    });
    RETIREMENTS.add();
}

/// Arms a few deadlines around the moment, and sees that they fire.
fn burst(random: &mut Random, together: &Barrier, begins: Instant, slow: bool) {
    together.wait();
    let mut armed = Vec::new();
    for _ in 0..random.between(1, 4) {
        let at =
            IDLE - Duration::from_millis(2) + Duration::from_micros(random.below(6_000) as u64);
        // Slept up to shortly before, then spun: this is about microseconds.
        thread::sleep((at - Duration::from_millis(1)).saturating_sub(begins.elapsed()));
        while begins.elapsed() < at {
            std::hint::spin_loop();
        }
        let source = Source::with_timeout(Duration::from_micros(random.below(3_000) as u64));
        if slow {
            let nap = Duration::from_millis(random.between(1, 20) as u64);
            source.token().on_cancel(move |_| thread::sleep(nap)).detach();
        }
        armed.push(source.token());
    }
    for token in armed {
        fires(&token, "armed while the keeper retires");
    }
}
