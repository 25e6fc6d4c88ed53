//! One round: threads are born, work, meet, cancel everything and end; then the
//! books are balanced.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::books::{Callback, Signal};
use crate::forget::Costs;
use crate::panics::guarded;
use crate::random::Random;
use crate::report::{ensure, violated};
use crate::tally::{CAPTURED, THREADS};
use crate::watchdog::Seat;
use crate::worker::{BALANCE, DROP, Holdings, JOIN, Worker};
use crate::world::{Parcel, World};

/// How long what has been decided may take to happen: a callback that the
/// keeper's thread is in the middle of, a wake on its way.
const SETTLES_IN: Duration = Duration::from_secs(10);

pub(crate) fn round(random: &mut Random, threads: usize, costs: Option<Arc<Costs>>, seat: &Seat) {
    let world = Arc::new(World::new(random, threads, costs));
    let mut shared = world.shared_signals(random);
    let all: Vec<Holdings> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let (world, random) = (Arc::clone(&world), random.fork());
                let signals = shared.iter_mut().map(Signal::share).collect();
                let work = move || Worker::new(world, random, signals).work();
                THREADS.add();
                let name = format!("worker {number}");
                match thread::Builder::new().name(name).spawn_scoped(scope, work) {
                    Ok(worker) => worker,
                    Err(error) => violated(format_args!("no thread could be had: {error}")),
                }
            })
            .collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Holdings>| match worker.join() {
            Ok(held) => held,
            Err(_) => violated("a worker panicked"),
        };
        workers
            .into_iter()
            .map(|worker| {
                seat.doing(JOIN);
                join(worker)
            })
            .collect()
    });
    drop(shared);
    let held = all_together(all, &world);
    drop(world);
    balance(held, random, seat);
}

/// What all threads hold, and what is still between them.
fn all_together(all: Vec<Holdings>, world: &World) -> Holdings {
    let mut together = Holdings::default();
    for held in all {
        together.signals.extend(held.signals);
        together.callbacks.extend(held.callbacks);
        together.waits.extend(held.waits);
        together.slots.extend(held.slots);
        together.threads.extend(held.threads);
    }
    for parcel in world.left_over() {
        match parcel {
            Parcel::Signal(signal) => {
                if let Some(source) = &signal.source {
                    guarded(|| signal.book.attempt(0, || source.cancel()));
                }
                together.signals.push(signal);
            }
            Parcel::Callback(callback) => together.callbacks.push(callback),
            Parcel::Wait(wait) => together.waits.push(wait),
        }
    }
    together
}

fn balance(mut held: Holdings, random: &mut Random, seat: &Seat) {
    for thread in held.threads.drain(..) {
        seat.doing(JOIN);
        ensure!(thread.join().is_ok(), "a thread that waited panicked");
    }
    seat.doing(BALANCE);
    until_settled(&held.callbacks, Callback::settled, |callback| {
        format!("a callback (leaf: {}): {}", callback.leaf, callback.book.story())
    });
    until_settled(&held.waits, |wait| wait.settled(), |_| "a wait was not woken".into());
    for wait in &mut held.waits {
        wait.finish();
    }
    let mut causes = HashMap::new();
    for signal in &mut held.signals {
        signal.check_cause();
        let id = signal.id;
        if let Some(found) = signal.look() {
            let known = causes.entry(id).or_insert_with(|| found.clone());
            ensure!(known == found, "two threads see two causes: {known:?} and {found:?}");
        }
    }
    seat.doing(DROP);
    for slot in &held.slots {
        let _ = guarded(|| drop(slot.take()));
    }
    drop_all(held, random);
    let since = Instant::now();
    while CAPTURED.get() != 0 {
        let left = CAPTURED.get();
        ensure!(since.elapsed() < SETTLES_IN, "{left} captured values were not dropped");
        thread::sleep(Duration::from_micros(100));
    }
}

/// Waits, for a bounded time, until each has come to its end.
fn until_settled<T>(all: &[T], settled: impl Fn(&T) -> bool, story: impl Fn(&T) -> String) {
    let since = Instant::now();
    for item in all {
        while !settled(item) {
            if since.elapsed() > SETTLES_IN {
                violated(format_args!("after everything was cancelled: {}", story(item)));
            }
            thread::sleep(Duration::from_micros(50));
        }
    }
}

/// Drops everything, in an order that differs from round to round.
fn drop_all(mut held: Holdings, random: &mut Random) {
    while !(held.signals.is_empty() && held.callbacks.is_empty() && held.waits.is_empty()) {
        match random.below(3) {
            0 => drop_some(&mut held.signals, random),
            1 => drop_some(&mut held.callbacks, random),
            _ => {
                if let Some(wait) = held.waits.pop() {
                    wait.give_up();
                }
            }
        }
    }
}

fn drop_some<T>(all: &mut Vec<T>, random: &mut Random) {
    if !all.is_empty() {
        let item = all.swap_remove(random.below(all.len()));
        let _ = guarded(|| drop(item));
    }
}
