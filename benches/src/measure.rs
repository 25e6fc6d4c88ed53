//! A row is measured in rounds: in each round every entry takes its turn, so
//! that whatever slows the machine for a while slows all of them alike.

use std::time::Duration;

use crate::peers::{self, Peer};
use crate::report::{Line, Outcome};
use crate::sample::{Sample, median, sorted};

const BATCH: Duration = Duration::from_micros(400);
const QUICK_ROUNDS: usize = 9;
const TRIES_PER_ROUND: usize = 4;
/// A whole fan-out this long is kept even if disturbed: it averages the noise,
/// and setting it up again is dear.
const LONG_NS: f64 = 5e6;

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) quick: bool,
    pub(crate) peers: Vec<String>,
    /// Multiplies the figures of `desist`: shows that `--check` can fail.
    pub(crate) handicap: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quick: false, peers: Vec::new(), handicap: 1.0 }
    }
}

impl Settings {
    pub(crate) fn wants_peer(&self, name: &str) -> bool {
        let chosen = |pattern: &String| name.contains(pattern.as_str());
        is_desist(name) || self.peers.is_empty() || self.peers.iter().any(chosen)
    }
}

pub(crate) fn is_desist(entry: &str) -> bool {
    entry.starts_with(peers::Desist::NAME)
}

/// One row of the table. `fill` adds its entries, `desist` first.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) aim: &'static str,
    pub(crate) large: bool,
    rounds: usize,
    fill: fn(&mut Entries<'_>),
}

impl Row {
    pub(crate) const fn new(
        id: &'static str,
        title: &'static str,
        aim: &'static str,
        fill: fn(&mut Entries<'_>),
    ) -> Self {
        Self { id, title, aim, large: false, rounds: 31, fill }
    }

    pub(crate) const fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Holds a set of a million: left out of a quick run.
    pub(crate) const fn large(mut self) -> Self {
        self.large = true;
        self
    }

    pub(crate) fn measure(&self, settings: &Settings) -> Outcome {
        let rounds = if settings.quick { self.rounds.min(QUICK_ROUNDS) } else { self.rounds };
        let lines = by_turns(settings, rounds, self.fill);
        Outcome { id: self.id, title: self.title, aim: self.aim, lines }
    }
}

/// What the entries that `fill` adds take, round by round.
pub(crate) fn by_turns(
    settings: &Settings,
    rounds: usize,
    fill: impl FnOnce(&mut Entries<'_>),
) -> Vec<Line> {
    let mut entries = Entries { settings, list: Vec::new() };
    fill(&mut entries);
    let mut list = entries.list;
    list.iter_mut().for_each(Entry::calibrate);
    for _ in 0..rounds {
        let mut desist = None;
        for (place, entry) in list.iter_mut().enumerate() {
            let figure = entry.take_turn();
            if place == 0 && is_desist(&entry.name) {
                desist = figure;
            }
            entry.ratios.extend(figure.zip(desist).map(|(own, desist)| own / desist));
        }
    }
    with_ratios(list.into_iter().map(Entry::into_line).collect())
}

/// Where no round was quiet for both, the medians have to do.
fn with_ratios(mut lines: Vec<Line>) -> Vec<Line> {
    let desist = lines.first().filter(|line| is_desist(&line.name)).map(|line| line.median);
    if let Some(desist) = desist {
        for line in &mut lines {
            line.ratio.get_or_insert(line.median / desist);
        }
    }
    lines
}

pub(crate) struct Entries<'a> {
    settings: &'a Settings,
    list: Vec<Entry>,
}

impl Entries<'_> {
    /// Adds a peer, if it is wanted: then only is its batch made.
    pub(crate) fn add(&mut self, name: &str, make: impl FnOnce() -> Batch) {
        if self.settings.wants_peer(name) {
            self.push(name.to_owned(), make());
        }
    }

    /// Adds what the machine needs for the least that could do.
    pub(crate) fn limit(&mut self, name: &str, batch: Batch) {
        self.push(format!("({name})"), batch);
    }

    fn push(&mut self, name: String, batch: Batch) {
        let handicap = if is_desist(&name) { self.settings.handicap } else { 1.0 };
        self.list.push(Entry {
            name,
            batch,
            handicap,
            iterations: 0,
            quiet_rounds: 0,
            figures: Vec::new(),
            disturbed: Vec::new(),
            ratios: Vec::new(),
        });
    }
}

enum Iterations {
    UpTo(u64),
    Exactly(u64),
    /// The sample is the figure: a latency, however long it takes to see it.
    Latency,
}

/// Does its work so many times and tells how long that took.
pub(crate) struct Batch {
    run: Box<dyn FnMut(u64) -> Sample>,
    iterations: Iterations,
}

impl Batch {
    pub(crate) fn new(run: impl FnMut(u64) -> Sample + 'static) -> Self {
        Self::up_to(1 << 26, run)
    }

    /// At most so many times: for peers that keep something of each.
    pub(crate) fn up_to(most: u64, run: impl FnMut(u64) -> Sample + 'static) -> Self {
        Self { run: Box::new(run), iterations: Iterations::UpTo(most) }
    }

    /// One sample stands for so many operations, however it is taken.
    pub(crate) fn exactly(count: usize, mut run: impl FnMut() -> Sample + 'static) -> Self {
        let iterations = Iterations::Exactly(count as u64);
        Self { run: Box::new(move |_| run()), iterations }
    }

    pub(crate) fn latency(mut run: impl FnMut() -> Sample + 'static) -> Self {
        Self { run: Box::new(move |_| run()), iterations: Iterations::Latency }
    }
}

struct Entry {
    name: String,
    batch: Batch,
    handicap: f64,
    iterations: u64,
    /// How many of the figures are of a time in which nothing else went on.
    quiet_rounds: usize,
    figures: Vec<f64>,
    disturbed: Vec<f64>,
    ratios: Vec<f64>,
}

impl Entry {
    fn calibrate(&mut self) {
        let batch_ns = BATCH.as_nanos() as f64;
        let most = match self.batch.iterations {
            Iterations::UpTo(most) => most,
            Iterations::Exactly(count) => {
                self.iterations = count;
                return;
            }
            Iterations::Latency => {
                self.iterations = 1;
                return;
            }
        };
        let mut tried = 16.min(most);
        loop {
            // Where threads meet, the first that do may take long: the least of three tells.
            let ns = (0..3).map(|_| (self.batch.run)(tried).ns).fold(f64::MAX, f64::min);
            if ns >= batch_ns / 2.0 || tried >= most {
                let wanted = (batch_ns / (ns / tried as f64)).max(8.0) as u64;
                self.iterations = wanted.min(most);
                return;
            }
            tried = (tried * 2).min(most);
        }
    }

    fn take_turn(&mut self) -> Option<f64> {
        let mut last = None;
        for _ in 0..TRIES_PER_ROUND {
            let sample = (self.batch.run)(self.iterations);
            let figure = sample.ns / self.iterations as f64 * self.handicap;
            let set_up_once = matches!(self.batch.iterations, Iterations::Exactly(_));
            if sample.undisturbed || (set_up_once && sample.ns > LONG_NS) {
                self.quiet_rounds += usize::from(sample.undisturbed);
                self.figures.push(figure);
                return Some(figure);
            }
            last = Some(figure);
        }
        self.disturbed.extend(last);
        None
    }

    /// A peer whose lock yields or sleeps never looks undisturbed: then what
    /// there is has to do.
    fn into_line(mut self) -> Line {
        let rounds = self.figures.len() + self.disturbed.len();
        if self.figures.len() < 3 {
            self.figures.append(&mut self.disturbed);
        }
        let figures = sorted(self.figures);
        Line {
            name: self.name,
            median: figures[figures.len() / 2],
            least: figures[0],
            ratio: (!self.ratios.is_empty()).then(|| median(self.ratios)),
            quiet_rounds: self.quiet_rounds,
            rounds,
        }
    }
}
