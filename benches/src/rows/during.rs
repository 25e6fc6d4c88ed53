//! What a check takes, over time, while another CPU cancels very many children.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;
use std::time::{Duration, Instant};

use super::fanout::{Padded, padded};
use crate::machine::{Disturbance, pin};
use crate::measure::Settings;
use crate::peers::{Desist, Flag, HasChild, Peer, TokioUtil};
use crate::sample::{median, on_a_deep_stack, sorted, spin_for, timed};

pub(crate) const ID: &str = "check-during-cancel";
pub(crate) const TITLE: &str =
    "a check of a parent, over time, while another CPU cancels its children";

/// One reading of the clock for so many checks: a check alone is too short for it.
const CHECKS: u32 = 32;
/// Blocks of checks that are kept: a third of a second, and more where checks are dear.
const MOST_BLOCKS: usize = 1 << 23;
/// The cancel is cut into so many pieces; as wide ones stand before and after it.
const PIECES: f64 = 100.0;
const PIECES_AROUND: f64 = 10.0;

/// A piece of time, from the beginning of the cancel.
pub(crate) struct Piece {
    pub(crate) at_us: f64,
    /// The median of the blocks that ended in it, per check; nothing where none did.
    pub(crate) median_ns: Option<f64>,
    /// The longest block that was on its way in it: no check took longer.
    pub(crate) longest_ns: f64,
}

pub(crate) struct Course {
    pub(crate) name: &'static str,
    pub(crate) cancel_us: f64,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) quiet_rounds: usize,
    pub(crate) rounds: usize,
}

impl Course {
    pub(crate) fn longest_ns(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.longest_ns).fold(0.0, f64::max)
    }
}

pub(crate) struct During {
    /// What a reading of the clock takes; it is taken off every block.
    pub(crate) clock_ns: f64,
    pub(crate) courses: Vec<Course>,
}

pub(crate) fn measure(settings: &Settings, children: usize, rounds: usize) -> During {
    // Written to before, so that no page of it is fetched while checks are measured.
    let mut ends = vec![1; if settings.quick { 1 << 16 } else { MOST_BLOCKS }];
    let clock_ns = reading_the_clock(&mut ends);
    let (mut ours, mut theirs, mut flags) = (Vec::new(), Vec::new(), Vec::new());
    // By turns, as all rows are.
    for _ in 0..rounds {
        let course = of_a_peer::<Desist>(children, clock_ns, &mut ends);
        let as_long = Duration::from_secs_f64(course.cancel_us / 1e6);
        ours.push(course);
        if settings.wants_peer(TokioUtil::NAME) {
            theirs.push(of_a_peer::<TokioUtil>(children, clock_ns, &mut ends));
        }
        flags.push(of_a_flag(children, as_long, clock_ns, &mut ends));
    }
    let courses = [ours, theirs, flags].into_iter().filter(|courses| !courses.is_empty());
    During { clock_ns, courses: courses.map(one_of).collect() }
}

/// Of the rounds that were left alone, that whose longest check is the median.
fn one_of(mut courses: Vec<Course>) -> Course {
    let rounds = courses.len();
    let quiet_rounds = courses.iter().filter(|course| course.quiet_rounds > 0).count();
    if quiet_rounds > 0 {
        courses.retain(|course| course.quiet_rounds > 0);
    }
    courses.sort_by(|a, b| a.longest_ns().total_cmp(&b.longest_ns()));
    Course { quiet_rounds, rounds, ..courses.swap_remove(courses.len() / 2) }
}

fn of_a_peer<P: HasChild>(children: usize, clock_ns: f64, ends: &mut [u64]) -> Course {
    on_a_deep_stack(|| {
        let (source, parent) = P::create();
        let kept: Vec<_> = (0..children).map(|_| P::child(&parent)).collect();
        let around = time_around(children);
        let run = watch(|| P::is_cancelled(&parent), || P::cancel(source), around, ends);
        assert!(kept.iter().all(P::child_is_cancelled));
        run.course(P::NAME, clock_ns, ends)
    })
}

/// What of a course is the machine's: nobody writes this flag, though as many others, again
/// and again for as long as a cancel takes.
fn of_a_flag(children: usize, as_long: Duration, clock_ns: f64, ends: &mut [u64]) -> Course {
    let (_source, flag) = Flag::create();
    let others: Vec<Padded> = (0..children).map(|_| padded()).collect();
    let set = || {
        let begun = Instant::now();
        while begun.elapsed() < as_long {
            others.iter().for_each(|flag| flag.0.store(true, Release));
        }
    };
    let run = watch(|| Flag::is_cancelled(&flag), set, time_around(children), ends);
    run.course("(a flag of its own)", clock_ns, ends)
}

fn time_around(children: usize) -> Duration {
    Duration::from_nanos(20_000 + 5 * children as u64)
}

fn reading_the_clock(ends: &mut [u64]) -> f64 {
    let run = watch(|| false, || spin_for(Duration::from_micros(200)), Duration::ZERO, ends);
    let ends = &ends[..run.blocks];
    median(ends.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect())
}

struct Run {
    cancel: [u64; 2],
    blocks: usize,
    undisturbed: bool,
}

/// Blocks of checks on the second CPU, each with the time at which it ended, before, while
/// and after this one does `cancel`.
fn watch(
    check: impl Fn() -> bool + Sync,
    cancel: impl FnOnce(),
    around: Duration,
    ends: &mut [u64],
) -> Run {
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let epoch = Instant::now();
    let now = || epoch.elapsed().as_nanos() as u64;
    thread::scope(|scope| {
        let checks = scope.spawn(|| {
            pin(1);
            let before = Disturbance::now();
            let mut blocks = 0;
            begun.store(true, Release);
            while blocks < ends.len() && !over.load(Acquire) {
                for _ in 0..CHECKS {
                    black_box(check());
                }
                ends[blocks] = now();
                blocks += 1;
            }
            (blocks, Disturbance::now().since(before))
        });
        while !begun.load(Acquire) {
            std::hint::spin_loop();
        }
        spin_for(Duration::from_micros(20) + around);
        let start = now();
        let cancelled = timed(cancel);
        let end = now();
        spin_for(around);
        over.store(true, Release);
        let (blocks, disturbed) = checks.join().expect("the thread that checks ends well");
        let alone = disturbed.preemptions == 0 && disturbed.waited_ns < 1_000;
        Run { cancel: [start, end], blocks, undisturbed: alone && cancelled.undisturbed }
    })
}

impl Run {
    fn course(&self, name: &'static str, clock_ns: f64, ends: &[u64]) -> Course {
        let [start, end] = self.cancel.map(|ns| ns as f64);
        let ends = &ends[..self.blocks];
        // A record that is full before the end of the cancel is no course of it.
        let whole = ends.last().is_some_and(|&last| last as f64 >= end);
        let width = (end - start) / PIECES;
        let pieces = (-PIECES_AROUND as i32..(PIECES + PIECES_AROUND) as i32)
            .filter_map(|piece| {
                let from = start + f64::from(piece) * width;
                let middle = from + width / 2.0 - start;
                piece_of(ends, from, from + width, clock_ns)
                    .map(|piece| Piece { at_us: middle / 1e3, ..piece })
            })
            .collect();
        let quiet_rounds = usize::from(self.undisturbed && whole);
        Course { name, cancel_us: (end - start) / 1e3, pieces, quiet_rounds, rounds: 1 }
    }
}

/// Of the blocks between two instants, where they cover that time.
fn piece_of(ends: &[u64], from: f64, to: f64, clock_ns: f64) -> Option<Piece> {
    let first = ends.partition_point(|&end| (end as f64) < from).max(1);
    let after = ends.partition_point(|&end| (end as f64) < to);
    if *ends.first()? as f64 > from || after >= ends.len() {
        return None;
    }
    let without_clock = |at: usize| ((ends[at] - ends[at - 1]) as f64 - clock_ns).max(0.0);
    let longest_ns = (first..=after).map(without_clock).fold(0.0, f64::max);
    let per_check = sorted((first..after).map(without_clock).collect());
    let median_ns = per_check.get(per_check.len() / 2).map(|ns| ns / f64::from(CHECKS));
    Some(Piece { at_us: 0.0, median_ns, longest_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_held_up_is_in_every_piece_that_it_lasts() {
        // A block each 100 ns, of which 20 are the clock's, and one of 400.
        let ends = [100, 200, 300, 700, 800, 900];
        let piece = |from: f64| piece_of(&ends, from, from + 100.0, 20.0);
        let calm = piece(150.0).expect("it is covered");
        assert_eq!((calm.median_ns, calm.longest_ns), (Some(2.5), 80.0));
        for from in [350.0, 450.0, 550.0] {
            let held_up = piece(from).expect("it is covered");
            assert_eq!((held_up.median_ns, held_up.longest_ns), (None, 380.0));
        }
        assert!(piece(0.0).is_none() && piece(850.0).is_none(), "the record has less");
    }
}
