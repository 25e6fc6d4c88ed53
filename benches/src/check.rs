//! The coarse guard against a regression: `desist` against tokio-util.

use std::fmt;

use crate::measure::is_desist;
use crate::report::Outcome;

const MOST_TIMES_TOKIO_UTIL: f64 = 1.5;
const MEASURED_AGAIN: usize = 2;

/// Where a promise costs more than tokio-util pays, because it makes none: a
/// cancel there records no cause, no place and no instant, which is a reading
/// of the clock and an allocation, and shows where little else is to be done.
/// It is about even with what is spared elsewhere, and a machine may have it otherwise.
const PROMISES_COST: &[(&str, f64)] = &[("6b-1", 2.5), ("6c-1", 3.0), ("7b", 2.5), ("7e", 3.0)];

/// Where `desist` is so much faster that half of that lost would pass: what a
/// load, a list for each thread and a wheel for each thread are for. What threads cost
/// each other in tokio-util is three times as much on one machine as on another, so
/// these are far from both: what is now, and what was before there were such lists.
const MUCH_FASTER: &[(&str, f64)] = &[
    ("1a", 0.1),
    ("1b", 0.1),
    ("1c", 0.05),
    ("1d", 0.05),
    ("1e", 0.05),
    ("2b", 0.6),
    ("4b", 0.2),
    ("5b", 0.15),
    ("7a-kept", 0.3),
    ("8a-1k", 0.6),
    ("9c", 0.5),
    ("11a-await", 0.4),
    ("E2", 0.1),
];

/// Bytes that are asked for are the same on every machine, so not one may be added to
/// each; what the parent has of its own is less than that.
const HEAVIEST: &[(&str, f64)] = &[("10-heap", 88.0), ("10-wait-heap", 56.0)];

fn most_times_tokio_util(id: &str) -> f64 {
    let own = PROMISES_COST.iter().chain(MUCH_FASTER).find(|(row, _)| *row == id);
    own.map_or(MOST_TIMES_TOKIO_UTIL, |&(_, most)| most)
}

/// By how much desist is above what it may be, and what that is.
fn too_heavy(outcome: &Outcome) -> Option<(f64, f64)> {
    let &(_, most) = HEAVIEST.iter().find(|(row, _)| *row == outcome.id)?;
    let own = outcome.lines.first().filter(|line| is_desist(&line.name))?.median;
    (own.floor() > most).then_some((own, most))
}

/// Which rows were compared, and in which `desist` was too slow.
#[derive(Debug, Default)]
pub(crate) struct Check {
    compared: usize,
    too_slow: Vec<(&'static str, f64)>,
    too_heavy: Vec<(&'static str, f64, f64)>,
}

impl Check {
    /// Measures a row that looks too slow again before it counts, because the
    /// machine may have been busy, and gives the last outcome.
    pub(crate) fn judge(
        &mut self,
        mut outcome: Outcome,
        measure_again: impl Fn() -> Outcome,
    ) -> Outcome {
        for _ in 0..MEASURED_AGAIN {
            if !is_too_slow(&outcome) {
                break;
            }
            outcome = measure_again();
        }
        self.note(&outcome);
        outcome
    }

    pub(crate) fn note(&mut self, outcome: &Outcome) {
        self.too_heavy.extend(too_heavy(outcome).map(|(own, most)| (outcome.id, own, most)));
        let Some(times) = outcome.times_tokio_util() else {
            return;
        };
        self.compared += 1;
        if is_too_slow(outcome) {
            self.too_slow.push((outcome.id, times));
        }
    }

    /// A check that compared nothing has not passed.
    pub(crate) fn passed(&self) -> bool {
        self.compared > 0 && self.too_slow.is_empty() && self.too_heavy.is_empty()
    }
}

fn is_too_slow(outcome: &Outcome) -> bool {
    outcome.times_tokio_util().is_some_and(|times| times > most_times_tokio_util(outcome.id))
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compared == 0 {
            return f.write_str(
                "check failed: no row compares desist with tokio-util; choose other rows or peers",
            );
        }
        if self.passed() {
            return write!(
                f,
                "check passed: {} rows, in none does desist cost more times what tokio-util does \
                 than it may: {MOST_TIMES_TOKIO_UTIL}, less where it is much faster, up to 3 where \
                 a single cancel has its cause to record",
                self.compared
            );
        }
        write!(
            f,
            "check failed: in {} of {} rows desist costs more times what tokio-util does than it \
             may",
            self.too_slow.len(),
            self.compared
        )?;
        for (id, times) in &self.too_slow {
            write!(f, "\n  {id:<9} {times:.2} times, at most {}", most_times_tokio_util(id))?;
        }
        for (id, own, most) in &self.too_heavy {
            write!(f, "\n  {id:<13} {own:.1} bytes, at most {most}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Line;

    fn outcome(tokio_util_to_desist: f64) -> Outcome {
        let line = |name: &str, ratio| Line {
            name: name.to_owned(),
            median: ratio,
            least: ratio,
            ratio: Some(ratio),
            quiet_rounds: 1,
            rounds: 1,
        };
        let lines = vec![line("desist", 1.0), line("tokio-util", tokio_util_to_desist)];
        Outcome { id: "x", title: "", aim: "", lines }
    }

    #[test]
    fn a_row_that_stays_too_slow_fails_the_check() {
        let mut check = Check::default();
        check.judge(outcome(2.0), || unreachable!("not slow: not measured again"));
        assert!(check.passed());
        check.judge(outcome(0.5), || outcome(0.5));
        assert!(!check.passed());
        assert!(check.to_string().contains("2.00 times, at most 1.5"), "{check}");
    }

    /// As many threads as there are CPUs wait for each other, and it is still faster.
    #[test]
    fn a_row_that_lost_most_of_its_lead_fails_the_check() {
        let mut check = Check::default();
        check.judge(Outcome { id: "4b", ..outcome(23.0) }, || unreachable!("as fast as it was"));
        assert!(check.passed());
        let slow = || Outcome { id: "4b", ..outcome(2.5) };
        check.judge(slow(), slow);
        assert!(!check.passed());
    }

    #[test]
    fn a_row_that_was_slow_once_passes() {
        let mut check = Check::default();
        check.judge(outcome(0.5), || outcome(1.0));
        assert!(check.passed());
    }

    #[test]
    fn a_byte_more_fails_the_check() {
        let child = |bytes| {
            let mut outcome = Outcome { id: "10-heap", ..outcome(1.4) };
            outcome.lines[0].median = bytes;
            outcome
        };
        let mut check = Check::default();
        check.note(&child(88.0));
        assert!(check.passed(), "{check}");
        check.note(&child(89.0));
        assert!(!check.passed());
        assert!(check.to_string().contains("89.0 bytes, at most 88"), "{check}");
    }

    #[test]
    fn every_bound_is_of_a_row_that_there_is() {
        let bounds = PROMISES_COST.iter().chain(MUCH_FASTER);
        for (id, _) in bounds {
            assert!(crate::rows::all().any(|row| row.id == *id), "no row is named {id}");
        }
    }

    #[test]
    fn a_check_of_nothing_fails() {
        assert!(!Check::default().passed());
    }
}
