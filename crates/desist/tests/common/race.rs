//! Races between two threads that both sides win sometimes.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{OnDrop, lock};

/// Who won a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    /// The left side if the condition holds, else the right one.
    pub(crate) fn left_if(condition: bool) -> Self {
        if condition { Self::Left } else { Self::Right }
    }
}

/// The rounds that are run at least.
const ROUNDS: usize = if cfg!(miri) { 8 } else { 1_500 };
/// How often each side must win. Where threads are interpreted, as it comes.
const WINS: usize = if cfg!(miri) { 0 } else { 25 };
/// No more rounds than necessary after this time.
const ENOUGH: Duration = Duration::from_millis(1_200);
/// A side that does not win within this time cannot win.
const HOPELESS: Duration = Duration::from_secs(60);

/// Runs `left` and `right` at the same moment on the same state, many times, and `judge` after
/// each round. The side that wins too often is held back a little, so both come to win; the race
/// fails if one side never does.
pub(crate) fn race<S, L, R>(
    mut setup: impl FnMut() -> S,
    left: impl Fn(&S) -> L,
    right: impl Fn(&S) -> R + Sync,
    mut judge: impl FnMut(S, L, R) -> Side,
) where
    S: Send + Sync,
    R: Send,
{
    // Two races at once would fight for the processors, and both would be slow.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = lock(&ALONE);
    let track = Track::default();
    thread::scope(|scope| {
        let _stop = OnDrop(|| track.stop());
        scope.spawn(|| {
            let _stop = OnDrop(|| track.stop());
            track.run_right(&right);
        });
        let begun = Instant::now();
        let mut random = Random::new();
        let mut balance = Balance::default();
        loop {
            let state = Arc::new(setup());
            let (ahead, behind) = balance.delays();
            track.give(&state, behind + random.below(64));
            spin(ahead + random.below(64));
            let here = left(&state);
            let there = track.result();
            let state = Arc::into_inner(state).expect("the other side has let go");
            balance.count(judge(state, here, there));
            let (lefts, rights) = balance.wins;
            let (both, spent) = (lefts.min(rights) >= WINS, begun.elapsed());
            if both && (lefts + rights >= ROUNDS || spent > ENOUGH) {
                return;
            }
            assert!(spent < HOPELESS, "left won {lefts} times, right {rights} times");
        }
    });
}

/// Who has won how often, and how long the left side is held back (or the right one, below zero).
#[derive(Default)]
struct Balance {
    wins: (usize, usize),
    lead: i32,
    step: i32,
}

impl Balance {
    /// In spins, for the left and for the right side.
    fn delays(&self) -> (u32, u32) {
        (self.lead.max(0).unsigned_abs(), self.lead.min(0).unsigned_abs())
    }

    /// Holds the winner back: the more, the longer the other one has not won.
    fn count(&mut self, winner: Side) {
        let towards = match winner {
            Side::Left => 1,
            Side::Right => -1,
        };
        let again = self.step.signum() == towards;
        self.step = if again { (self.step * 2).clamp(-32, 32) } else { towards };
        self.lead = (self.lead + self.step).clamp(-100_000, 100_000);
        match winner {
            Side::Left => self.wins.0 += 1,
            Side::Right => self.wins.1 += 1,
        }
    }
}

struct Track<S, R> {
    state: Mutex<Option<Arc<S>>>,
    result: Mutex<Option<R>>,
    delay: AtomicU32,
    given: AtomicUsize,
    ready: AtomicUsize,
    begun: AtomicUsize,
    ended: AtomicUsize,
    stopped: AtomicBool,
}

impl<S, R> Default for Track<S, R> {
    fn default() -> Self {
        Self {
            state: Mutex::new(None),
            result: Mutex::new(None),
            delay: AtomicU32::new(0),
            given: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        }
    }
}

impl<S, R> Track<S, R> {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Spins until the counter has come to this round; false if the race is over.
    fn until(&self, counter: &AtomicUsize, round: usize) -> bool {
        let mut spins = 0_u32;
        while counter.load(Ordering::SeqCst) < round {
            if self.stopped.load(Ordering::SeqCst) {
                return false;
            }
            spins += 1;
            if spins % 512 == 0 {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
        true
    }

    /// Hands the state of a new round to the other side and waits until it stands at the start.
    fn give(&self, state: &Arc<S>, delay: u32) {
        *lock(&self.state) = Some(Arc::clone(state));
        self.delay.store(delay, Ordering::SeqCst);
        let round = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(self.until(&self.ready, round), "the other side panicked");
        self.begun.store(round, Ordering::SeqCst);
    }

    fn result(&self) -> R {
        let round = self.given.load(Ordering::SeqCst);
        assert!(self.until(&self.ended, round), "the other side panicked");
        lock(&self.result).take().expect("the other side has ended")
    }

    fn run_right(&self, right: impl Fn(&S) -> R) {
        for round in 1.. {
            if !self.until(&self.given, round) {
                return;
            }
            let Some(state) = lock(&self.state).take() else {
                return;
            };
            self.ready.store(round, Ordering::SeqCst);
            if !self.until(&self.begun, round) {
                return;
            }
            spin(self.delay.load(Ordering::SeqCst));
            let result = right(&state);
            drop(state);
            *lock(&self.result) = Some(result);
            self.ended.store(round, Ordering::SeqCst);
        }
    }
}

/// Runs `body(0)` to `body(threads - 1)` at the same moment and returns what they returned.
pub(crate) fn all_at_once<R: Send>(threads: usize, body: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let waiting = AtomicUsize::new(threads);
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|index| {
                let (waiting, body) = (&waiting, &body);
                scope.spawn(move || {
                    waiting.fetch_sub(1, Ordering::SeqCst);
                    while waiting.load(Ordering::SeqCst) > 0 {
                        thread::yield_now();
                    }
                    body(index)
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

fn spin(rounds: u32) {
    for _ in 0..rounds {
        hint::spin_loop();
    }
}

/// A small generator of numbers; the same numbers in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).expect("below a u32")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).expect("a short slice");
            items.swap(last, self.below(bound) as usize);
        }
    }
}
