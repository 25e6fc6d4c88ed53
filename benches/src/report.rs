//! The table as it is printed.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::measure::is_desist;
use crate::peers::{Peer, TokioUtil};

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) aim: &'static str,
    /// `desist` first, where it takes part.
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) median: f64,
    pub(crate) least: f64,
    /// To `desist`: the median over the rounds of both figures of one round.
    pub(crate) ratio: Option<f64>,
    pub(crate) quiet_rounds: usize,
    pub(crate) rounds: usize,
}

impl Outcome {
    pub(crate) fn desist(&self) -> Option<&Line> {
        self.lines.first().filter(|line| is_desist(&line.name))
    }

    /// The fastest entry of tokio-util, or of tokio where it does the same.
    pub(crate) fn tokio_util(&self) -> Option<&Line> {
        let fastest_of = |name: &str| {
            let of_peer = self.lines.iter().filter(|line| line.name.starts_with(name));
            of_peer
                .filter_map(|line| line.ratio.map(|ratio| (ratio, line)))
                .min_by(|(a, _), (b, _)| a.total_cmp(b))
                .map(|(_, line)| line)
        };
        // Tasks and copies have a peer in tokio itself.
        let own = fastest_of("tokio JoinSet").or_else(|| fastest_of("tokio io::copy"));
        own.or_else(|| fastest_of(TokioUtil::NAME))
    }

    /// How many times as long as that `desist` takes.
    pub(crate) fn times_tokio_util(&self) -> Option<f64> {
        self.tokio_util().and_then(|line| line.ratio).map(f64::recip)
    }

    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut text = format!("\n{}  {}\n", self.id, self.title);
        for (place, line) in self.lines.iter().enumerate() {
            let aim = if place == 0 && is_desist(&line.name) { self.aim } else { "" };
            let _ = writeln!(
                text,
                "  {:<34} {:>10} {:>10} {:>9} {:>9} {:>3}/{}",
                line.name,
                figure(line.median),
                figure(line.least),
                line.ratio.map_or("-".to_owned(), ratio),
                aim,
                line.quiet_rounds,
                line.rounds,
            );
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

pub(crate) fn print_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "  {:<34} {:>10} {:>10} {:>9} {:>9} quiet rounds",
        "", "median", "min", "to desist", "aim"
    )
}

pub(crate) fn figure(value: f64) -> String {
    match value {
        0.0..100.0 => format!("{value:.2}"),
        100.0..10_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub(crate) fn ratio(value: f64) -> String {
    if value < 1000.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
