//! Many short deadlines from many threads at once, while the callbacks of some
//! block the threads that fire: all must fire, none may be forgotten.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use desist::{Source, Token};

use crate::heap;
use crate::random::Random;
use crate::report::{ensure, violated};
use crate::tally::{ARMED, CALLED, FIRED, LATEST, STORMS, THREADS};
use crate::watchdog::Seat;
use crate::worker::{STALLED, WAIT_FOR_DEADLINES};

/// How many callbacks of one burst may block: more, in all, than there are
/// threads to run them.
const BLOCK: usize = 30;

pub(crate) fn storm(random: &mut Random, threads: usize, seat: &Seat) {
    seat.doing(WAIT_FOR_DEADLINES);
    thread::scope(|scope| {
        for _ in 0..threads {
            let mut random = random.fork();
            THREADS.add();
            scope.spawn(move || {
                let seat = Seat::take();
                for _ in 0..random.between(2, 8) {
                    seat.doing(WAIT_FOR_DEADLINES);
                    burst(&mut random);
                    // Long enough now and then that all who fire lie down.
                    let pause = *random.pick(&[0, 0, 50, 1_000, 3_000, 30_000]);
                    thread::sleep(Duration::from_micros(pause));
                }
            });
        }
    });
    STORMS.add();
}

fn burst(random: &mut Random) {
    let (many, slow) = (*random.pick(&[1, 2, 20, 300]), random.one_in(3));
    let called = Arc::new(AtomicUsize::new(0));
    let (mut armed, mut registered) = (Vec::new(), 0);
    for _ in 0..many {
        let source = arm(random);
        ARMED.add();
        if random.one_in(4) {
            // Gone before it fires, or while it does.
            drop(source);
            continue;
        }
        let nap = (slow && registered < BLOCK).then(|| random.between(1, 20) as u64);
        let count = Arc::clone(&called);
        source
            .token()
            .on_cancel(move |cancelled| {
                let early = cancelled.at().saturating_duration_since(Instant::now());
                ensure!(early.is_zero(), "called {early:?} before the deadline");
                if let Some(nap) = nap {
                    thread::sleep(Duration::from_millis(nap));
                }
                CALLED.add();
                count.fetch_add(1, Relaxed);
            })
            .detach();
        registered += 1;
        armed.push(source.token());
    }
    for token in &armed {
        fires(token, "in a storm");
        note_lateness(token);
    }
    let since = Instant::now();
    while called.load(Relaxed) < registered {
        let done = called.load(Relaxed);
        ensure!(since.elapsed() < 2 * STALLED, "{done} of {registered} callbacks were called");
        thread::sleep(Duration::from_micros(100));
    }
}

/// A signal with a short deadline, on the ways there are to come to one.
fn arm(random: &mut Random) -> Source {
    let short = Duration::from_micros(random.below(5_000) as u64);
    let long = Duration::from_secs(1 + random.below(4_000) as u64);
    let source = match random.below(4) {
        0 => return Source::with_timeout(short),
        1 => Source::with_timeout(long),
        2 => Source::with_timeout(Duration::from_micros(random.below(2_000) as u64)),
        _ => Source::new(),
    };
    if random.one_in(3) {
        source.disarm();
    }
    if random.one_in(3) {
        source.cancel_after(long);
    }
    source.cancel_after(short);
    source
}

/// Waits for a deadline that must come.
pub(crate) fn fires(token: &Token, when: &str) {
    if token.blocking_wait_timeout(STALLED).is_none() {
        violated(format_args!(
            "STALL: a deadline {when} has not fired after {STALLED:?}, it was due {:?} ago; {} \
             threads keep time or fire",
            token.deadline().map(|due| due.elapsed()),
            heap::keepers()
        ));
    }
}

fn note_lateness(token: &Token) {
    FIRED.add();
    if let (Some(cancelled), Some(due)) = (token.cancellation(), token.deadline()) {
        let late = cancelled.at().saturating_duration_since(due);
        LATEST.raise_to(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
}
