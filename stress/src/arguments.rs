//! What the command line says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const USAGE: &str = "usage: desist-stress <minutes> [--threads N] [--seed S]
         [--no-heap-check] [--no-forget] [--only PART] [--stay]

  <minutes>        how long; fractions are fine
  --threads N      this many threads in every round; otherwise 3 to 8
  --seed S         what the threads do; not in which order they come to it
  --no-heap-check  does not compare the heap with what it was at the start
  --no-forget      forgets no future, so that a leak checker finds nothing
  --only PART      rounds; storms: many short deadlines; or retirement: the race
                   with the keeper of time when it goes
  --stay           when a thread hangs, tells so and stays, for a debugger

exit code: 0 all held, 1 a promise was broken, 2 usage, 3 a thread hangs";

/// A run of this length sees the keeper retire, however slow the machine is.
pub(crate) const WITH_RETIREMENT: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) rounds: bool,
    pub(crate) storms: bool,
    pub(crate) retirement: bool,
}

impl Parts {
    fn only(part: &str) -> Option<Self> {
        let parts = Self {
            rounds: part == "rounds",
            storms: part == "storms",
            retirement: part == "retirement",
        };
        (parts.rounds || parts.storms || parts.retirement).then_some(parts)
    }
}

pub(crate) struct Arguments {
    pub(crate) time: Duration,
    pub(crate) threads: Option<usize>,
    pub(crate) seed: u64,
    pub(crate) heap_check: bool,
    pub(crate) forget: bool,
    pub(crate) parts: Parts,
    pub(crate) stay: bool,
}

/// `None`: what was said makes no sense.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut arguments = Arguments {
        time: Duration::ZERO,
        threads: None,
        seed: since.as_nanos() as u64 % 1_000_000_007,
        heap_check: true,
        forget: true,
        parts: Parts { rounds: true, storms: true, retirement: true },
        stay: false,
    };
    let mut minutes = None;
    while let Some(word) = words.next() {
        match &*word {
            "--threads" => {
                let threads = words.next()?.parse().ok()?;
                arguments.threads = (1..=32).contains(&threads).then_some(threads);
                arguments.threads?;
            }
            "--seed" => arguments.seed = words.next()?.parse().ok()?,
            "--no-heap-check" => arguments.heap_check = false,
            "--no-forget" => arguments.forget = false,
            "--only" => arguments.parts = Parts::only(&words.next()?)?,
            "--stay" => arguments.stay = true,
            _ => minutes = Some(word.parse::<f64>().ok()?),
        }
    }
    arguments.time = Duration::try_from_secs_f64(minutes? * 60.0).ok()?;
    if arguments.time.is_zero() {
        return None;
    }
    Some(arguments)
}
