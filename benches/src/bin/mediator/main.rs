//! The mediator rows: what it takes from a request to its handler and back, beside direct
//! calls of the same function, and beside tower, in turn, in one process.
//!
//!   mediator                              all of it
//!   mediator --quick                      fewer rounds: shows that it works
//!   mediator --check                      fails where a request takes far longer than it is to
//!   mediator --check --handicap dispatch  the same with a dispatch that takes its time: it
//!                                         must fail; and so it must with `behaviour`
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod entries;

use std::process::ExitCode;

use desist_benches::{Sample, timed, timed_on_two};

use self::entries::{BOXED, Entry, NONE, TEN, entries};

/// What one dispatch may take, in boxed calls, and what one behaviour: far more than they do.
const MOST: f64 = 20.0;
const MOST_OF_A_BEHAVIOUR: f64 = 10.0;

/// A sample, in nanoseconds.
const BATCH: f64 = 4e5;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mut rounds, mut check, mut handicap) = (101, false, None);
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match (arg, if arg == "--handicap" { args.next() } else { None }) {
            ("--quick", _) => rounds = 11,
            ("--check", _) => check = true,
            ("--handicap", Some(what @ ("dispatch" | "behaviour"))) => handicap = Some(what),
            _ => {
                eprintln!("usage: mediator [--quick] [--check] [--handicap dispatch|behaviour]");
                return ExitCode::from(2);
            }
        }
    }
    desist_benches::pin(0);
    // Again where it looks too slow: the machine may have been busy.
    for _ in 0..3 {
        let is_fast_enough = measure(rounds, handicap);
        if !check || is_fast_enough {
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("mediator: a request takes far longer than it is to; see what is new on its way");
    ExitCode::FAILURE
}

/// Whether that is far from too slow.
fn measure(rounds: usize, handicap: Option<&str>) -> bool {
    let mut entries = entries(handicap);
    let times: Vec<u64> = entries.iter().map(|entry| calibrate(&entry.run)).collect();
    for _ in 0..rounds {
        for (entry, &times) in entries.iter_mut().zip(&times) {
            let Entry { run, figures: [one, two], .. } = entry;
            one.push(quietly(|| timed(|| run(times))) / times as f64);
            if entry.also_on_two {
                two.push(quietly(|| timed_on_two(|_| run(times))) / times as f64);
            }
        }
    }
    for (threads, title) in ["one thread", "two threads, each"].into_iter().enumerate() {
        println!("from a request to its response, ns, {title}, {rounds} rounds");
        println!("  {:<34} {:>8} {:>8} {:>8}", "", "median", "min", "ratio");
        for entry in entries.iter().filter(|entry| !entry.figures[threads].is_empty()) {
            let own = &entry.figures[threads];
            println!(
                "  {:<34} {:>8.1} {:>8.1} {:>8.2}  of {}",
                entry.name,
                median(own.clone()),
                own.iter().copied().fold(f64::INFINITY, f64::min),
                median(ratios(own, figures(&entries, entry.beside, threads))),
                entry.beside,
            );
        }
    }
    let of = |name| figures(&entries, name, 0);
    let behaviours: Vec<f64> =
        of(TEN).iter().zip(of(NONE)).map(|(ten, none)| (ten - none) / 10.0).collect();
    let dispatch = median(ratios(of(NONE), of(BOXED)));
    let behaviour = median(ratios(&behaviours, of(BOXED)));
    println!("in boxed calls: a dispatch {dispatch:.2}, bound {MOST}");
    println!("in boxed calls: a behaviour {behaviour:.2}, bound {MOST_OF_A_BEHAVIOUR}");
    dispatch <= MOST && behaviour <= MOST_OF_A_BEHAVIOUR
}

fn figures<'a>(entries: &'a [Entry], name: &str, threads: usize) -> &'a [f64] {
    let entry = entries.iter().find(|entry| entry.name == name);
    &entry.expect("what others are compared with is there").figures[threads]
}

/// Of each round.
fn ratios(own: &[f64], others: &[f64]) -> Vec<f64> {
    own.iter().zip(others).map(|(own, other)| own / other).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How often it is done for a sample.
fn calibrate(run: &dyn Fn(u64)) -> u64 {
    let mut times = 64;
    loop {
        let ns = quietly(|| timed(|| run(times)));
        if ns >= BATCH / 2.0 {
            return ((times as f64 * BATCH / ns) as u64).max(64);
        }
        times *= 2;
    }
}

/// Again where the machine did something else meanwhile.
fn quietly(take: impl Fn() -> Sample) -> f64 {
    let mut took = take();
    for _ in 1..4 {
        if took.undisturbed {
            break;
        }
        took = take();
    }
    took.ns
}
