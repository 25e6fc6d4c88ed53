//! Who does what, and an end for all if one of them makes no headway.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::{hangs, say};
use crate::tally::OVERSLEPT;

/// How long a thread may be busy with one thing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Counted in looks, so that a machine that was asleep is not a hang.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const DESKS: usize = 64;

/// What somebody does now.
struct Desk {
    /// The steps taken, and in the lowest byte the number of the present one.
    at: AtomicU64,
    /// Zero: nobody is here.
    taken: AtomicU64,
}

static DESK: [Desk; DESKS] =
    [const { Desk { at: AtomicU64::new(0), taken: AtomicU64::new(0) } }; DESKS];
static BEGUN: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Names of what can be done; a [`Seat`] tells the number of one.
static NAMES: std::sync::OnceLock<fn(u8) -> &'static str> = std::sync::OnceLock::new();

/// A place at which a thread tells what it does, until it is dropped.
pub(crate) struct Seat(usize);

impl Seat {
    pub(crate) fn take() -> Self {
        for _ in 0..DESKS * 4 {
            let number = NEXT.fetch_add(1, Relaxed) % DESKS;
            if DESK[number].taken.swap(1, Relaxed) == 0 {
                return Self(number);
            }
        }
        hangs("no seat is free: threads do not end")
    }

    /// The next step, by its number.
    pub(crate) fn doing(&self, what: u8) {
        let at = &DESK[self.0].at;
        let steps = (at.load(Relaxed) >> 8).wrapping_add(1);
        at.store((steps << 8) | u64::from(what), Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        DESK[self.0].taken.store(0, Relaxed);
    }
}

/// Starts to watch, until the process ends. With `stay` a hang is told and the
/// process left as it is, for a debugger.
pub(crate) fn start(names: fn(u8) -> &'static str, stay: bool) {
    let _ = NAMES.set(names);
    let watch = move || {
        BEGUN.store(true, Relaxed);
        let mut seen = [(0_u64, 0_u64); DESKS];
        loop {
            let began = Instant::now();
            thread::sleep(BETWEEN_LOOKS);
            let late = began.elapsed().saturating_sub(BETWEEN_LOOKS);
            OVERSLEPT.raise_to(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
            for (desk, (at, looks)) in DESK.iter().zip(&mut seen) {
                let now = desk.at.load(Relaxed);
                let same = desk.taken.load(Relaxed) != 0 && now == *at;
                *looks = if same { *looks + 1 } else { 0 };
                *at = now;
                if *looks * BETWEEN_LOOKS.as_secs() == PATIENCE.as_secs() {
                    let all = everybody();
                    if !stay {
                        hangs(format_args!("no headway for {PATIENCE:?}:{all}"));
                    }
                    say(format_args!("stress: no headway for {PATIENCE:?}:{all}"));
                }
            }
        }
    };
    let started = thread::Builder::new().name("watchdog".into()).spawn(watch);
    if started.is_err() {
        hangs("the watchdog could not be started");
    }
    // What a thread allocates and frees when it begins is done then.
    while !BEGUN.load(Relaxed) {
        thread::yield_now();
    }
}

fn everybody() -> String {
    let mut all = String::new();
    let name = NAMES.get();
    for (number, desk) in DESK.iter().enumerate() {
        if desk.taken.load(Relaxed) != 0 {
            let at = desk.at.load(Relaxed);
            let what = name.map_or("?", |name| name((at & 0xff) as u8));
            let _ = write!(all, "\n  seat {number}: step {}, {what}", at >> 8);
        }
    }
    all
}
