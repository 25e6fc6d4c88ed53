//! Everything that `desist` can do, from many threads at once, for as long as
//! one likes; what it promises is checked while that goes on, and when it ends.
//!
//! It works in rounds. In each, threads are born that share a few trees of
//! signals and do what they draw: cancel, arm, wait, register, take back, link,
//! drop, with callbacks and wakers that call back or panic. Then they meet,
//! cancel everything at once, and the books are balanced: every callback was
//! called once or prevented, every wait was woken, every deadline has fired and
//! none early, every cause is the first one, every captured value was dropped
//! once, and the heap is what it was.

#![forbid(unsafe_code)]

mod action;
mod arguments;
mod books;
mod forget;
mod heap;
mod own_clock;
mod panics;
mod random;
mod report;
mod retirement;
mod round;
mod storm;
mod sync;
mod tally;
mod watchdog;
mod worker;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::arguments::{Arguments, WITH_RETIREMENT};
use self::heap::Heap;
use self::random::Random;
use self::report::say;
use self::watchdog::Seat;

const MINUTE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match arguments::parse(std::env::args().skip(1)) {
        Some(arguments) => {
            stress(&arguments);
            ExitCode::SUCCESS
        }
        None => {
            say(arguments::USAGE);
            ExitCode::from(2)
        }
    }
}

fn stress(arguments: &Arguments) {
    let costs = arguments.forget.then(|| Arc::new(forget::Costs::measure()));
    report::begin(arguments.seed);
    panics::install_hook();
    watchdog::start(worker::name_of, arguments.stay);
    let minutes = arguments.time.as_secs_f64() / 60.0;
    say(format_args!("stress: {minutes} minutes, seed {}", arguments.seed));
    drop(thread::current());

    let mut random = Random::seeded(arguments.seed);
    let seat = Seat::take();
    // The system's clock is made once and stays: it is no leak.
    let _ = desist::Clock::system().now();
    let heap = arguments.heap_check.then(Heap::at_start);
    let begin = Instant::now();
    let mut minute = 1;
    let mut pauses = 0;
    let parts = arguments.parts;
    // Its time may come in the middle of a round that outlasts the run.
    let retires = parts.retirement && arguments.time >= WITH_RETIREMENT;
    let to_come = || retires && tally::RETIREMENTS.get() == 0;
    while begin.elapsed() < arguments.time || to_come() {
        let threads = arguments.threads.unwrap_or_else(|| random.between(3, 8));
        // One pause a minute, in which the keeper retires; alone, it is all.
        let pause = !parts.rounds || begin.elapsed() > MINUTE * pauses + MINUTE / 3;
        if parts.retirement && pause {
            pauses += 1;
            retirement::race(&mut random, threads, &seat);
        }
        let storm = !parts.rounds || random.one_in(16) || tally::STORMS.get() == 0;
        if parts.storms && storm {
            storm::storm(&mut random, threads, &seat);
        }
        if parts.rounds {
            tally::ROUNDS.add();
            report::enter_round(tally::ROUNDS.get());
            round::round(&mut random, threads, costs.clone(), &seat);
        }
        seat.doing(worker::HEAP);
        if let Some(heap) = &heap {
            heap.check_after_round();
        }
        if begin.elapsed() > MINUTE * minute {
            say(tally::line(minute, arguments.seed));
            minute += 1;
        }
    }
    if let Some(heap) = &heap {
        seat.doing(worker::HEAP);
        heap.check_to_the_byte();
    }
    tally::ensure_all_was_done(arguments);
    say(tally::summary(arguments.seed));
}
