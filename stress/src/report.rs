//! What is told to the outside: lines, and the end when something is wrong.

use std::fmt::Display;
use std::io::{self, Write};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// A promise was broken.
const VIOLATED: i32 = 1;
/// A thread makes no headway.
const HANGS: i32 = 3;

static SEED: OnceLock<u64> = OnceLock::new();
static ROUND: AtomicU64 = AtomicU64::new(0);

pub(crate) fn begin(seed: u64) {
    let _ = SEED.set(seed);
}

pub(crate) fn enter_round(round: u64) {
    ROUND.store(round, Relaxed);
}

pub(crate) fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Tells what was violated, and ends the process at once: a panic would get
/// lost in those that are injected.
pub(crate) fn violated(what: impl Display) -> ! {
    end("VIOLATED", what, VIOLATED)
}

/// Tells who makes no headway, and ends the process.
pub(crate) fn hangs(what: impl Display) -> ! {
    end("HANGS", what, HANGS)
}

fn end(verdict: &str, what: impl Display, code: i32) -> ! {
    let seed = SEED.get().copied().unwrap_or_default();
    let round = ROUND.load(Relaxed);
    let current = thread::current();
    let name = current.name().unwrap_or("without a name");
    say(format_args!(
        "stress: {verdict}: {what}\nstress: seed {seed}, round {round}, thread {name}"
    ));
    process::exit(code)
}

/// Ends the process with what was violated, unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            $crate::report::violated(format_args!($($what)+));
        }
    };
}
pub(crate) use ensure;
