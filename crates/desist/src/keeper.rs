//! The thread that keeps the system clock's time.
//!
//! Exactly one thread at a time is the keeper: it sleeps until the next
//! deadline and looks at the wheels. Whoever runs foreign code is not the one
//! that keeps time: when deadlines have come, the keeper first hands its duty
//! to another thread (a spare one, or a new one) and then fires them, one after
//! the other. If a callback blocks for longer than [`PATIENCE`], the new keeper
//! finds the rest of the due deadlines untouched, hands over in its turn and
//! fires them itself.
//!
//! | role   | how many       | what it does                                    |
//! |--------|----------------|-------------------------------------------------|
//! | keeper | at most one    | sleeps until the next deadline, looks           |
//! | firer  | any            | runs wakers and callbacks of what has come      |
//! | spare  | at most one    | sleeps until a keeper is needed                 |
//!
//! Blocked callbacks so cost a thread each. There are never more than
//! [`MAX_THREADS`]: the last one keeps time and leaves what is due to the
//! firers, which take it up as they return. A thread that has had nothing to do
//! for [`IDLE`] ends, so a process without deadlines has no such thread. A deadline
//! that was taken back counts until its time: nobody wakes the keeper for it.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::node::SystemClock;
use crate::node::sync::{Condvar, Mutex, MutexGuard, global, thread};

/// How long a callback may run before the others do not wait for it.
const PATIENCE: Duration = Duration::from_millis(1);
/// How many threads there may be at once: 64 that are blocked, and a keeper.
#[cfg(not(all(test, loom)))]
const MAX_THREADS: usize = 65;
#[cfg(all(test, loom))]
const MAX_THREADS: usize = 3;
/// How long a thread without anything to do stays.
#[cfg(not(all(test, loom)))]
const IDLE: Duration = Duration::from_secs(10);
#[cfg(all(test, loom))]
const IDLE: Duration = Duration::from_millis(5);

struct Roles {
    threads: usize,
    firers: usize,
    keeper: bool,
    spare: bool,
    /// A thread was started to become the keeper.
    starting: bool,
    /// Somebody armed an earlier deadline than the keeper knows of.
    alarm: bool,
}

global! {
    static ROLES: Mutex<Roles> = Mutex::new(Roles {
        threads: 0,
        firers: 0,
        keeper: false,
        spare: false,
        starting: false,
        alarm: false,
    });
}
global! {
    static FOR_KEEPER: Condvar = Condvar::new();
}
global! {
    static FOR_SPARE: Condvar = Condvar::new();
}

type Held = MutexGuard<'static, Roles>;

fn roles() -> Held {
    ROLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps until `bell` rings, for `time` at most.
#[cfg(not(all(test, loom)))]
fn sleep(bell: &Condvar, held: Held, time: Duration) -> Held {
    bell.wait_timeout(held, time).unwrap_or_else(PoisonError::into_inner).0
}

/// A short time has always just passed; a long one never does.
#[cfg(all(test, loom))]
fn sleep(bell: &Condvar, held: Held, time: Duration) -> Held {
    if time > crate::models::idle_time() {
        watch::SLEEPERS.set(watch::SLEEPERS.get() + 1);
        let held = bell.wait(held).unwrap_or_else(PoisonError::into_inner);
        watch::SLEEPERS.set(watch::SLEEPERS.get() - 1);
        return held;
    }
    drop(held);
    loom::thread::yield_now();
    roles()
}

fn now() -> Instant {
    SystemClock::get().now()
}

/// A deadline was armed that is earlier than what the keeper sleeps for.
/// False if there is no thread to hear it, and none could be started.
pub(crate) fn alarm() -> bool {
    let mut roles = roles();
    roles.alarm = true;
    if roles.keeper {
        drop(roles);
        FOR_KEEPER.notify_one();
        true
    } else {
        // Those that fire become keepers when they are done, but that may be
        // late.
        call_keeper(&mut roles) || roles.firers > 0
    }
}

/// Sees to it that somebody becomes the keeper; false if nobody can.
fn call_keeper(roles: &mut Held) -> bool {
    if roles.spare {
        FOR_SPARE.notify_one();
        return true;
    }
    if roles.starting {
        return true;
    }
    if roles.threads >= MAX_THREADS {
        return false;
    }
    let started = thread::Builder::new().name("desist-time".into()).spawn(work).is_ok();
    if started {
        roles.threads += 1;
        roles.starting = true;
    }
    started
}

/// The life of one of the threads.
fn work() {
    let mut held = roles();
    loop {
        let Some(handed_over) = wait_for_duty(held).and_then(keep) else {
            return;
        };
        held = handed_over;
        held.firers += 1;
        drop(held);
        while SystemClock::get().fire_one() {}
        held = roles();
        held.firers -= 1;
    }
}

/// Becomes the keeper, at once or as the spare thread. `None`: not needed any
/// more.
fn wait_for_duty(mut held: Held) -> Option<Held> {
    let until = now() + IDLE;
    while held.keeper {
        let left = until.saturating_duration_since(now());
        if held.spare || left.is_zero() {
            held.threads -= 1;
            return None;
        }
        held.spare = true;
        held = sleep(&FOR_SPARE, held, left);
        held.spare = false;
    }
    held.keeper = true;
    held.starting = false;
    Some(held)
}

/// Keeps time until there is something to fire and another thread keeps time
/// meanwhile. `None`: nothing was armed for long.
fn keep(mut held: Held) -> Option<Held> {
    let mut last = None;
    let mut idle_until = None;
    loop {
        held.alarm = false;
        drop(held);
        let look = SystemClock::get().look();
        held = roles();
        if look.due {
            let untouched = last == Some(look.taken);
            if held.firers == 0 || untouched {
                held.keeper = false;
                // If no thread can be had, what is due must wait for a firer;
                // if there is none, time waits for us.
                if call_keeper(&mut held) || held.firers == 0 {
                    return Some(held);
                }
                held.keeper = true;
            }
            last = Some(look.taken);
        } else {
            last = None;
        }
        if held.alarm {
            continue;
        }
        let now = now();
        let until = match look.next {
            _ if look.due => now + PATIENCE,
            Some(next) => next,
            None => *idle_until.get_or_insert(now + IDLE),
        };
        if look.due || look.next.is_some() {
            idle_until = None;
        } else if now >= until {
            held.keeper = false;
            held.threads -= 1;
            return None;
        }
        let wait = until.saturating_duration_since(now);
        held = sleep(&FOR_KEEPER, held, wait);
    }
}

/// For the models.
#[cfg(all(test, loom))]
pub(crate) mod watch {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        // All threads of a model run on one thread of the system.
        pub(crate) static SLEEPERS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn wake_all() {
        let _roles = roles();
        FOR_KEEPER.notify_all();
        FOR_SPARE.notify_all();
    }

    pub(crate) fn has_keeper() -> bool {
        roles().keeper
    }

    pub(crate) fn threads() -> usize {
        roles().threads
    }
}
